-- Why instances wait for other code. A row counts as long as its turn is that of the instance: the next commit voids it.
CREATE TABLE {{.schema}}.duroxide_blocked (
    instance_id bigint PRIMARY KEY REFERENCES {{.schema}}.duroxide_instances (id) ON DELETE CASCADE,
    turn        uuid   NOT NULL,
    reason      text   NOT NULL,
    at          text   NOT NULL, -- file:line of the user's code
    since       bigint NOT NULL
);
