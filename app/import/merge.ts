/** How staged rows get to their table: the newest of each key, and only where it is newer than what is there. */
import { stagedHive, stagedMemory } from "./copy-format.ts";
import type { Target } from "./rows.ts";

/** The statements of one target. `$1` is the workspace. */
export interface Merge {
	/** The temporary table that rows are copied to. */
	readonly staged: string;
	/** Makes it and `verdicts`, which says for each row what becomes of it. */
	readonly prepare: string;
	/** For a dry run: fills the table's stand-in with what is there under the staged keys. */
	readonly fetch: string;
	/** Of each key's newest row: is it there already? */
	readonly judge: string;
	/** What is to become of those that are. */
	readonly settle: string;
	/** Rows of keys that are new: fails where somebody has written one of them meanwhile. */
	readonly add: string;
	/** Rows of the verdicts `$2`, over what is there. It is slower by a half. */
	readonly put: string;
	/** Some rows of other contents than what was there under their key, by name and verdict. */
	readonly clashes: string;
	/** Some keys that are in the table more than once. */
	readonly duplicates: string;
}

/** What names a target's rows and compares them. */
interface Shape {
	readonly table: string;
	readonly staged: string;
	readonly columns: string;
	/** Beside the workspace. */
	readonly key: readonly string[];
	/** The rest of the table's columns. */
	readonly rest: readonly string[];
	/** The staged rows, `s`, as the table has them. */
	readonly rows: string;
	/** `old` and `s` are the same. */
	readonly same: string;
	/** `s` or `excluded` is to take the place of `old`. */
	readonly newer: (s: string) => string;
	/** As if there were no `old`. */
	readonly gone: string;
	/** What an update sets otherwise than to the new row's. */
	readonly keeps: Readonly<Record<string, string>>;
}

/** Clashes that are named; all are counted. */
const NAMED = 20;

const jsonOr = (column: string, name: string) => `coalesce(json_or_null(${column}), jsonb_build_object('${name}', ${column}))`;

/** An object of the original's is kept as it is, anything else in one. */
const METADATA = `case when metadata is null and more is null then null else
	case when metadata is null then '{}'
		when jsonb_typeof(json_or_null(metadata)) = 'object' then json_or_null(metadata)
		else jsonb_build_object('metadata', metadata) end
	|| case when more is null then '{}' else ${jsonOr("more", "more")} end end`;

const memory: Shape = {
	table: "memory_entries",
	staged: "staged_memory",
	columns: stagedMemory,
	key: ["system", "namespace", "key"],
	rest: ["value", "metadata", "created_at", "updated_at", "access_count", "expires_at"],
	rows: `select position, system, namespace, key, value, ${METADATA} as metadata, created_at, updated_at, access_count, expires_at
		from staged_memory`,
	same: "old.value = s.value and old.metadata is not distinct from s.metadata and old.expires_at is not distinct from s.expires_at",
	newer: (s) => `${s}.updated_at > old.updated_at`,
	gone: "coalesce(old.expires_at <= now(), false)",
	keeps: {
		created_at: "case when old.expires_at <= now() then excluded.created_at else least(old.created_at, excluded.created_at) end",
		access_count: "greatest(old.access_count, excluded.access_count)",
	},
};

const hive: Shape = {
	table: "hive_records",
	staged: "staged_hive",
	columns: stagedHive,
	key: ["kind", "id"],
	rest: ["swarm_id", "created_at", "updated_at", "source_at", "data"],
	rows: `select position, kind, id, swarm_id, created_at, updated_at, source_at, ${jsonOr("data", "json")} as data from staged_hive`,
	same: "old.data = s.data and old.swarm_id is not distinct from s.swarm_id",
	newer: (s) => `(${s}.updated_at, ${s}.source_at) > (old.updated_at, old.source_at)`,
	gone: "false",
	keeps: { created_at: "least(old.created_at, excluded.created_at)" },
};

export const merges: Readonly<Record<Target, Merge>> = { memory_entries: mergeOf(memory), hive_records: mergeOf(hive) };

function mergeOf({ table, staged, columns, key, rest, rows, same, newer, gone, keeps }: Shape): Merge {
	const keys = key.join(", ");
	const all = ["workspace", ...key, ...rest].join(", ");
	const theSame = ["old.workspace = $1", ...key.map((column) => `old.${column} = s.${column}`)].join(" and ");
	const name = key.map((column) => `s.${column}`).join(" || '/' || ");
	const sets = rest.map((column) => `${column} = ${keeps[column] ?? `excluded.${column}`}`).join(", ");
	const insert = `insert into ${table} as old (${all})
		select $1, ${[...key, ...rest].join(", ")} from (${rows}) as s join verdicts using (position)`;
	return {
		staged,
		prepare: `create temp table ${staged} (${columns}) on commit drop;
			create temp table verdicts (position bigint, verdict text) on commit drop`,
		fetch: `insert into pg_temp.${table} (${all}) select ${all} from public.${table} as old
			where workspace = $1 and exists (select from ${staged} as s where ${theSame}) on conflict do nothing`,
		judge: `with s as (select distinct on (${keys}) position, ${keys} from ${staged} order by ${keys}, updated_at desc, position desc)
			insert into verdicts select position, case when old.workspace is null then 'inserted' else 'there' end
			from s left join ${table} as old on ${theSame}`,
		settle: `update verdicts set verdict = case when ${gone} then 'updated' when ${same} then 'unchanged' when ${newer("s")} then 'updated' else 'kept' end
			from (${rows}) as s join ${table} as old on ${theSame} where verdicts.position = s.position and verdict = 'there'`,
		add: `${insert} where verdict = 'inserted'`,
		put: `${insert} where verdict = any($2)
			on conflict (workspace, ${keys}) do update set ${sets} where ${newer("excluded")} or ${gone}`,
		clashes: `select ${name} as name, verdict from verdicts join ${staged} as s using (position)
			where verdict in ('updated', 'kept') order by 1 limit ${NAMED}`,
		duplicates: `select ${name} as name from ${staged} as s group by ${keys} having count(*) > 1 order by 1 limit ${NAMED}`,
	};
}
