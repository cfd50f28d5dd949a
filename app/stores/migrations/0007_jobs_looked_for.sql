-- Jobs as they are once their commits are done. Some are in the queue while they are being inserted: who inserts one holds a
-- lock of its name until then, and whoever looks for it waits for that, not for a moment of the clock.
create function look_at_jobs(wanted uuid[], numbers integer[]) returns setof jobs
	language plpgsql volatile
	as $$
begin
	perform pg_advisory_xact_lock_shared(uuid_hash_extended(each, 0)) from unnest(wanted) as each;
	-- A statement of its own sees what was committed meanwhile.
	return query
		select jobs.* from jobs
		join unnest(wanted, numbers) as each (wanted_id, number) on jobs.id = each.wanted_id and jobs.deliveries = each.number;
end
$$;
