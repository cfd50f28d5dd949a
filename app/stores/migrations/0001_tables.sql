-- Times are microseconds in UTC; whoever reads them gets milliseconds. Every table has the workspace it is of.

do $$
begin
	-- Roles belong to all databases of a server: another one may have made it.
	if not exists (select from pg_roles where rolname = 'agentic_flow_server') then
		create role agentic_flow_server nologin;
	end if;
end
$$;

-- One row a workspace. Whoever changes anything in it takes the workspace's lock first (an advisory one, see the server's
-- stores), so what they append to the sequence of events is in the order of their commits, and no number is left out.
create table workspaces (
	workspace text primary key,
	event_seq bigint not null default 0,
	last_change timestamptz not null,
	agents_spawned integer not null default 0
) with (fillfactor = 10); -- room for an update beside the row, without touching an index

create table swarms (
	workspace text primary key,
	id text not null,
	name text not null,
	topology text not null,
	max_agents integer,
	strategy text,
	created_at timestamptz not null
);

create table agents (
	workspace text not null,
	id text not null,
	name text not null,
	type text not null,
	status text not null check (status in ('idle', 'busy', 'offline')),
	capabilities text[] not null,
	tasks integer not null default 0,
	completed_tasks integer not null default 0,
	performance double precision,
	memory text,
	cpu double precision,
	current_task text,
	message_count integer not null default 0,
	created_at timestamptz not null,
	last_active timestamptz not null,
	primary key (workspace, id)
) with (fillfactor = 70);

create table tasks (
	workspace text not null,
	id text not null,
	description text not null,
	status text not null check (status in ('pending', 'in_progress', 'completed', 'failed', 'cancelled')),
	priority text not null check (priority in ('low', 'medium', 'high', 'critical')),
	strategy text,
	progress double precision not null default 0 check (progress between 0 and 100),
	assigned_agent text,
	dependencies text[] not null,
	result jsonb,
	result_bytes integer not null default 0,
	error text,
	created_at timestamptz not null,
	started_at timestamptz,
	ended_at timestamptz,
	-- The last sign of life of whoever claimed it.
	heard_at timestamptz,
	primary key (workspace, id)
) with (fillfactor = 70);

create index tasks_newest on tasks (workspace, created_at desc);
create index tasks_unfinished on tasks (workspace, created_at desc) where status in ('pending', 'in_progress');
create index tasks_silent on tasks (heard_at) where status = 'in_progress';
create index tasks_of_agent on tasks (workspace, assigned_agent) where status = 'in_progress';

create table activities (
	workspace text not null,
	id text not null,
	type text not null,
	message text not null,
	metadata jsonb not null,
	"timestamp" timestamptz not null,
	primary key (workspace, "timestamp", id)
) partition by range ("timestamp");

-- What is sent to those who follow a workspace: appended in the transaction that makes the change.
create table events_outbox (
	workspace text not null,
	seq bigint not null,
	entity_type text not null,
	entity_id text,
	action text not null,
	data jsonb,
	created_at timestamptz not null,
	primary key (workspace, seq, created_at)
) partition by range (created_at);

-- Null where the text is not JSON, or JSON that jsonb cannot hold (\u0000, half of a surrogate pair).
create function json_or_null(value text) returns jsonb language plpgsql immutable strict parallel safe as $$
begin
	return value::jsonb;
exception when others then
	return null;
end
$$;

create table memory_entries (
	workspace text not null,
	system text not null check (system in ('swarm', 'hivemind')),
	namespace text not null,
	key text not null,
	value text not null,
	value_json jsonb generated always as (json_or_null(value)) stored,
	metadata jsonb,
	created_at timestamptz not null,
	updated_at timestamptz not null,
	access_count bigint not null default 0,
	expires_at timestamptz,
	primary key (workspace, system, namespace, key)
);

create index memory_entries_newest on memory_entries (workspace, system, updated_at desc);
create index memory_entries_expiring on memory_entries (expires_at) where expires_at is not null;

-- The secret itself is nowhere: hash is SHA-256 of it.
create table tokens (
	credential_id text primary key,
	workspace text not null,
	hash bytea not null unique,
	subject text not null,
	roles text[] not null,
	created_at timestamptz not null,
	expires_at timestamptz,
	revoked_at timestamptz
);

grant select, insert, update, delete on
	workspaces, swarms, agents, tasks, activities, events_outbox, memory_entries, tokens
to agentic_flow_server;
