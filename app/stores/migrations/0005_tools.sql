-- What is kept of a workspace to be put back later: its memory, or its swarm, agents and tasks as well.
create table saved_states (
	workspace text not null,
	id text not null,
	scope text not null check (scope in ('memory', 'workspace')),
	label text not null,
	principal text not null,
	entries integer not null,
	agents integer not null,
	tasks integer not null,
	-- Of keys, values and descriptions, as text.
	bytes bigint not null,
	created_at timestamptz not null,
	primary key (workspace, id)
);

create index saved_states_newest on saved_states (workspace, scope, created_at desc);

-- The rows of a saved state, each as it was in its table.
create table saved_rows (
	workspace text not null,
	state text not null,
	kind text not null check (kind in ('swarm', 'agent', 'task', 'memory')),
	number bigint generated always as identity,
	data jsonb not null,
	primary key (workspace, state, kind, number),
	foreign key (workspace, state) references saved_states (workspace, id) on delete cascade
);

-- Steps and triggers are json: what they have in them may be no jsonb.
create table workflows (
	workspace text not null,
	id text not null,
	name text not null,
	steps json not null,
	triggers json not null,
	principal text not null,
	created_at timestamptz not null,
	primary key (workspace, id)
);

create index workflows_newest on workflows (workspace, created_at desc);

grant select, insert, update, delete on saved_states, saved_rows, workflows to agentic_flow_server;
