-- When a key was last used, roughly; none before this version.
ALTER TABLE keys ADD COLUMN last_used_at INTEGER;
