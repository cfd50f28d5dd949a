-- What was imported of the files that the original server kept: what is no memory entry, and which files it was.

-- The original's history (swarms, agents, tasks, decisions, sessions, ...), a row of a table each. It is read, never worked
-- with: the live tables hold one swarm a workspace. Each table came in several versions, so the row is kept whole, as `data`.
create table hive_records (
	workspace text not null,
	-- The original's name of the table; `session_files` and `config` for what were files.
	kind text not null,
	id text not null,
	-- May be one that is nowhere.
	swarm_id text,
	created_at timestamptz not null,
	updated_at timestamptz not null,
	-- When the file it came from was last written: of two states of the same time the later file's is the newer.
	source_at timestamptz not null,
	data jsonb not null,
	primary key (workspace, kind, id)
);

create index hive_records_newest on hive_records (workspace, kind, updated_at desc, id);

-- What swarms remembered together has the swarm in its metadata.
create index memory_entries_collective on memory_entries (workspace, updated_at desc) where metadata ? 'swarm_id';

-- A file is its bytes: the same ones are imported once, whatever their name is.
create table imports (
	workspace text not null,
	-- Of the file, followed by its write-ahead log where there is one.
	sha256 text not null,
	-- What decides what becomes of the rows: the same file with other options is another import.
	options text not null,
	source text not null,
	bytes bigint not null,
	imported_at timestamptz not null,
	-- For each table: rows read, inserted, updated, unchanged, kept, duplicate, expired and refused, and the rows' checksum.
	tables jsonb not null,
	primary key (workspace, sha256, options)
);

grant select, insert, update, delete on hive_records to agentic_flow_server;
grant select, insert on imports to agentic_flow_server;
