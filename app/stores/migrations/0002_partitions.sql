-- One partition a month (UTC) of what only grows: made some months ahead, dropped whole when its time is over.

create table partitioning (
	only_row boolean primary key default true check (only_row),
	-- Whole months kept besides the present one.
	retention_months integer not null check (retention_months >= 1),
	months_ahead integer not null default 3 check (months_ahead >= 1)
);

grant select on partitioning to agentic_flow_server;

-- Says what it did, one line each. Callable by the server, which owns no table; one caller at a time does the work.
-- A partition in use is dropped at a later call.
create function maintain_partitions() returns setof text
language plpgsql security definer
set search_path = public, pg_temp
set lock_timeout = '500ms'
as $$
declare
	settings partitioning%rowtype;
	this_month timestamp := date_trunc('month', now() at time zone 'UTC');
	parent text;
	first_day timestamp;
	partition_name text;
begin
	if not pg_try_advisory_xact_lock(hashtext('maintain_partitions')) then
		return;
	end if;
	select * into strict settings from partitioning;
	foreach parent in array array['activities', 'events_outbox'] loop
		for ahead in 0 .. settings.months_ahead loop
			first_day := this_month + make_interval(months => ahead);
			partition_name := parent || '_' || to_char(first_day, 'YYYYMM');
			if to_regclass(partition_name) is null then
				-- Attaching keeps nobody out; CREATE TABLE ... PARTITION OF would wait for every reader and writer.
				execute format('create table %I (like %I including defaults including constraints)', partition_name, parent);
				execute format(
					'alter table %I attach partition %I for values from (%L) to (%L)',
					parent, partition_name, first_day at time zone 'UTC', (first_day + interval '1 month') at time zone 'UTC'
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

revoke execute on function maintain_partitions() from public;
grant execute on function maintain_partitions() to agentic_flow_server;
