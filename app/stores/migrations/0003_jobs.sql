-- What somebody asked for and a job worker does. An id is a UUIDv7, which begins with its time: so it is also what the
-- partitions go by. Arguments and results are json, not jsonb, which cannot hold every text that JSON can.
create table jobs (
	id uuid primary key,
	workspace text not null,
	principal text not null,
	roles text[] not null,
	tool text not null,
	arguments json not null,
	-- 0 is done first.
	priority smallint not null check (priority between 0 and 3),
	state text not null default 'queued' check (state in ('queued', 'active', 'completed', 'failed', 'cancelled', 'dead')),
	-- Begun so often. It only grows, so that no two attempts have one number.
	attempts integer not null default 0,
	-- Failed so often in a way that may pass, and how often it may.
	failures integer not null default 0,
	max_attempts integer not null,
	-- Workers lost over it.
	losses integer not null default 0,
	-- Put into the queue so often: part of its name there, so that no remnant of an earlier time is taken for it.
	deliveries integer not null default 1,
	queued_at timestamptz not null,
	-- Waits until its principal has fewer at once.
	parked boolean not null default false,
	worker text,
	lease_until timestamptz,
	cancel_asked boolean not null default false,
	progress real not null default 0,
	message text,
	result json,
	error_code text,
	error text,
	created_at timestamptz not null,
	started_at timestamptz,
	ended_at timestamptz
) partition by range (id);

create index jobs_of_principal on jobs (workspace, principal, id desc);
create index jobs_queued on jobs (id) where state = 'queued';
create index jobs_active on jobs (workspace, principal) where state = 'active';
create index jobs_leases on jobs (lease_until) where state = 'active';
create index jobs_parked on jobs (workspace, principal, priority, id) where parked;
create index jobs_dead on jobs (ended_at) where state = 'dead';

-- What a job has done and decided so far: whoever runs it again does not do it again.
create table job_steps (
	job uuid not null,
	step text not null,
	result json,
	primary key (job, step)
) partition by range (job);

-- Which job a principal's idempotency key stands for.
create table job_keys (
	workspace text not null,
	principal text not null,
	key text not null,
	job uuid not null,
	-- SHA-256 of what was asked for.
	request bytea not null,
	created_at timestamptz not null,
	primary key (workspace, principal, key)
);

create index job_keys_oldest on job_keys (created_at);

grant select, insert, update, delete on jobs, job_steps, job_keys to agentic_flow_server;

-- Begins those of the wanted that are still queued, under this number of their delivery, up to what each principal may have at
-- once; the others are parked. What is left of an earlier delivery begins nothing.
-- The principals are taken in one order by everybody, so that nobody waits in a circle.
create function claim_jobs(wanted uuid[], numbers integer[], claimant text, lease interval, at_once integer) returns setof jobs
language plpgsql as $$
declare
	asking record;
	room integer;
begin
	for asking in
		select workspace, principal, array_agg(jobs.id order by priority, jobs.id) as ids
		from jobs join unnest(wanted, numbers) as each (id, number) on jobs.id = each.id and jobs.deliveries = each.number
		where state = 'queued'
		group by workspace, principal order by workspace, principal
	loop
		perform pg_advisory_xact_lock(hashtextextended(asking.workspace || E'\n' || asking.principal, 1));
		room := greatest(0, at_once - (
			select count(*) from jobs where workspace = asking.workspace and principal = asking.principal and state = 'active'
		));
		return query
			update jobs set state = 'active', attempts = attempts + 1, worker = claimant, lease_until = clock_timestamp() + lease,
				started_at = coalesce(started_at, clock_timestamp()), progress = 0, message = null, parked = false
			where id = any(asking.ids[1:room]) and state = 'queued'
			returning *;
		if cardinality(asking.ids) > room then
			update jobs set parked = true where id = any(asking.ids[room + 1:]) and state = 'queued';
		end if;
	end loop;
end
$$;

-- The least UUIDv7 of a moment.
create function uuid_at(moment timestamptz) returns uuid language sql immutable strict parallel safe as $$
	select (lpad(to_hex((extract(epoch from moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- As before, and for what is partitioned by UUIDv7.
create or replace function maintain_partitions() returns setof text
language plpgsql security definer
set search_path = public, pg_temp
set lock_timeout = '500ms'
as $$
declare
	settings partitioning%rowtype;
	this_month timestamp := date_trunc('month', now() at time zone 'UTC');
	parent text;
	by_uuid boolean;
	first_day timestamp;
	bounds text[];
	partition_name text;
begin
	if not pg_try_advisory_xact_lock(hashtext('maintain_partitions')) then
		return;
	end if;
	select * into strict settings from partitioning;
	for parent, by_uuid in
		values ('activities', false), ('events_outbox', false), ('jobs', true), ('job_steps', true)
	loop
		-- What is partitioned by UUIDv7 gets its time from other clocks: the month before as well.
		for ahead in (case when by_uuid then -1 else 0 end) .. settings.months_ahead loop
			first_day := this_month + make_interval(months => ahead);
			partition_name := parent || '_' || to_char(first_day, 'YYYYMM');
			if to_regclass(partition_name) is null then
				bounds := array[first_day at time zone 'UTC', (first_day + interval '1 month') at time zone 'UTC']::text[];
				if by_uuid then
					bounds := array[uuid_at(bounds[1]::timestamptz), uuid_at(bounds[2]::timestamptz)]::text[];
				end if;
				-- Attaching keeps nobody out; CREATE TABLE ... PARTITION OF would wait for every reader and writer.
				execute format('create table %I (like %I including defaults including constraints)', partition_name, parent);
				execute format(
					'alter table %I attach partition %I for values from (%L) to (%L)', parent, partition_name, bounds[1], bounds[2]
				);
				return next 'created ' || partition_name;
			end if;
		end loop;
		for partition_name in
			select relname from pg_inherits join pg_class on oid = inhrelid
			where inhparent = parent::regclass
				and relname ~ ('^' || parent || '_\d{6}$')
				and to_date(right(relname, 6), 'YYYYMM') < this_month - make_interval(months => settings.retention_months)
			order by relname
		loop
			begin
				execute format('drop table %I', partition_name);
				return next 'dropped ' || partition_name;
			exception when lock_not_available then
				return next 'in use ' || partition_name;
			end;
		end loop;
	end loop;
end
$$;
