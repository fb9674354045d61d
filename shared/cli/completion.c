#include <stdio.h>
#include <string.h>

#include "shared/cli/internal.h"

/*
 * Verbs and flags are written into the file; agents, messages and profiles come from the hidden
 * verb
 * `__complete WORD...`, which a program may have.
 */
static void print_flags(struct cli *cli, const struct cli_verb *verb)
{
    const struct cli_flag *flag;

    for (size_t i = 0; (flag = cli_known_flag(cli->program, verb, i)); i++)
        out_print(cli, " --%s", flag->name);
}

static void print_bash(struct cli *cli)
{
    const char *name = cli->program->name;
    const struct cli_verb *verb;
    bool dynamic = cli_find_verb(cli->program, "__complete") != NULL;

    out_print(cli,
              "# bash completion of %s\n"
              "_%s()\n{\n"
              "    local cur=\"${COMP_WORDS[COMP_CWORD]}\" verb=\"\" words=\"\" i\n"
              "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
              "        case \"${COMP_WORDS[i]}\" in\n",
              name, name);
    for (size_t i = 0; (verb = cli_known_verb(cli->program, i)); i++)
        if (verb->name[0] != '_')
            out_print(cli, "        %s) verb=%s; break ;;\n", verb->name, verb->name);
    out_print(cli, "        esac\n    done\n    case \"$verb\" in\n    '') words=\"");
    for (size_t i = 0; (verb = cli_known_verb(cli->program, i)); i++)
        if (verb->name[0] != '_')
            out_print(cli, "%s ", verb->name);
    print_flags(cli, NULL);
    out_print(cli, "\" ;;\n");
    for (size_t i = 0; (verb = cli_known_verb(cli->program, i)); i++) {
        if (verb->name[0] == '_')
            continue;
        out_print(cli, "    %s) words=\"", verb->name);
        print_flags(cli, verb);
        out_print(cli, "\" ;;\n");
    }
    out_print(cli, "    esac\n");
    if (dynamic)
        out_print(cli,
                  "    if [[ $cur != -* && -n $verb ]]; then\n"
                  "        words=\"$(%s __complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" "
                  "2>/dev/null)\"\n    fi\n",
                  name);
    out_print(cli,
              "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\n"
              "complete -o default -F _%s %s\n",
              name, name);
}

static void print_quoted(struct cli *cli, const char *text)
{
    for (; *text; text++)
        if (*text == '\'')
            out_print(cli, "'\\''");
        else if (*text == '[' || *text == ']' || *text == ':')
            out_print(cli, "\\%c", *text);
        else
            out_print(cli, "%c", *text);
}

static void print_zsh_flags(struct cli *cli, const struct cli_verb *verb)
{
    const struct cli_flag *flag;

    for (size_t i = 0; (flag = cli_known_flag(cli->program, verb, i)); i++) {
        out_print(cli, " '%s--%s%s[", flag->repeat ? "*" : "", flag->name, flag->value ? "=" : "");
        print_quoted(cli, flag->help);
        out_print(cli, flag->value ? "]:%s:_files'" : "]'", flag->value ? flag->value : "");
    }
}

static void print_zsh(struct cli *cli)
{
    const char *name = cli->program->name;
    const struct cli_verb *verb;
    bool dynamic = cli_find_verb(cli->program, "__complete") != NULL;

    out_print(cli, "#compdef %s\n# zsh completion of %s\n_%s()\n{\n    local -a verbs\n    verbs=(",
              name, name, name);
    for (size_t i = 0; (verb = cli_known_verb(cli->program, i)); i++) {
        if (verb->name[0] == '_')
            continue;
        out_print(cli, "\n        '%s:", verb->name);
        print_quoted(cli, verb->summary);
        out_print(cli, "'");
    }
    out_print(cli, ")\n    local verb=\"\" word\n"
                   "    for word in \"${(@)words[2,CURRENT-1]}\"; do\n        case $word in\n");
    for (size_t i = 0; (verb = cli_known_verb(cli->program, i)); i++)
        if (verb->name[0] != '_')
            out_print(cli, "        %s) verb=%s; break ;;\n", verb->name, verb->name);
    out_print(cli, "        esac\n    done\n    case $verb in\n"
                   "    '') _describe command verbs; _arguments");
    print_zsh_flags(cli, NULL);
    out_print(cli, " ;;\n");
    for (size_t i = 0; (verb = cli_known_verb(cli->program, i)); i++) {
        if (verb->name[0] == '_')
            continue;
        out_print(cli, "    %s) _arguments", verb->name);
        print_zsh_flags(cli, verb);
        if (dynamic)
            out_print(cli,
                      " '*:word:(${(f)\"$(%s __complete -- $words[2,CURRENT] 2>/dev/null)\"})'",
                      name);
        else
            out_print(cli, " '*:word:_files'");
        out_print(cli, " ;;\n");
    }
    out_print(cli, "    esac\n}\ncompdef _%s %s\n", name, name);
}

static void print_fish_flags(struct cli *cli, const struct cli_flag *flags, const char *when)
{
    for (const struct cli_flag *flag = flags; flag && flag->name; flag++) {
        out_print(cli, "complete -c %s -n '%s' -l %s%s", cli->program->name, when, flag->name,
                  flag->value ? " -r" : "");
        if (flag->letter)
            out_print(cli, " -s %c", flag->letter);
        out_print(cli, " -d '");
        for (const char *at = flag->help; *at; at++)
            out_print(cli, *at == '\'' ? "\\%c" : "%c", *at);
        out_print(cli, "'\n");
    }
}

static void print_fish(struct cli *cli)
{
    const char *name = cli->program->name;
    const struct cli_verb *verb;
    bool dynamic = cli_find_verb(cli->program, "__complete") != NULL;

    out_print(cli, "# fish completion of %s\ncomplete -c %s -f\n", name, name);
    print_fish_flags(cli, cli->program->flags, "true");
    print_fish_flags(cli, cli_common_flags, "true");
    for (size_t i = 0; (verb = cli_known_verb(cli->program, i)); i++) {
        char when[96];

        if (verb->name[0] == '_')
            continue;
        out_print(cli, "complete -c %s -n __fish_use_subcommand -a %s -d '", name, verb->name);
        for (const char *at = verb->summary; *at; at++)
            out_print(cli, *at == '\'' ? "\\%c" : "%c", *at);
        out_print(cli, "'\n");
        snprintf(when, sizeof when, "__fish_seen_subcommand_from %s", verb->name);
        print_fish_flags(cli, verb->flags, when);
        if (dynamic)
            out_print(cli,
                      "complete -c %s -n '%s' -a '(%s __complete -- (commandline -opc)[2..-1] "
                      "(commandline -ct) 2>/dev/null)'\n",
                      name, when, name);
    }
}

int verb_completion(struct cli *cli)
{
    const char *shell = cli_arg(cli, 0);

    if (strcmp(shell, "bash") == 0)
        print_bash(cli);
    else if (strcmp(shell, "zsh") == 0)
        print_zsh(cli);
    else if (strcmp(shell, "fish") == 0)
        print_fish(cli);
    else
        return out_usage(cli, "usage", NULL, "\"%.20s\" is none of bash zsh fish", shell);
    return 0;
}
