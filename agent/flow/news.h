/*
 * news - what happened since the process began, for programs that watch.
 *
 * Nobody reports: what has changed is read out of the store after each commit, and from the link.
 */
#ifndef FLOW_NEWS_H
#define FLOW_NEWS_H
#include "agent/flow/core.h"

/* After a commit. */
void agent_news_gather(struct agent *agent);
void agent_news_free(struct agent *agent);

#endif
