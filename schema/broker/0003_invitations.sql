-- An invitation into a group ends by itself: until then it counts among the requests held for the invited agent.

ALTER TABLE member ADD COLUMN expires_ms INTEGER;   -- of an invitation; NULL: joined
