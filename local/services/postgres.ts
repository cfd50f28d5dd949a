/** PostgreSQL: a primary, a synchronous standby that takes its place, and replicas that are read from. */
import path from "node:path";
import { HOST } from "../place.ts";
import { askPostgres } from "./ask.ts";
import { type Command, type Facts, plainService, type Service, type User } from "./service.ts";

export interface PostgresPlan {
	readonly name: string;
	/** Folder of PostgreSQL's programs. */
	readonly programs: string;
	readonly port: number;
	readonly data: string;
	/** PostgreSQL refuses to run as root. */
	readonly user: User | undefined;
	/** The administrator's password, and two files of PostgreSQL's user that hold it: alone, and in the form of `.pgpass`. */
	readonly password: string;
	readonly passwordFile: string;
	readonly passFile: string;
	readonly maxConnections: number;
	/** Who it streams from; null for the primary. */
	readonly from: { readonly name: string; readonly port: number } | null;
	/** Made with the primary's data. */
	readonly database: string;
	/** For the primary: names of those that may acknowledge a commit, the first that is there does. */
	readonly synchronous: readonly string[];
}

export function postgresService(plan: PostgresPlan): Service {
	const { name, programs, port, data, user, password, passwordFile, passFile, from } = plan;
	const settings = {
		listen_addresses: HOST,
		port: String(port),
		unix_socket_directories: "",
		// The default leaves files in /dev/shm behind after kill -9.
		dynamic_shared_memory_type: "mmap",
		shared_buffers: "64MB",
		max_connections: String(plan.maxConnections),
		wal_keep_size: "256MB",
		hot_standby_feedback: "on",
		wal_retrieve_retry_interval: "200ms",
		synchronous_standby_names: from ? "" : `FIRST 1 (${plan.synchronous.map((each) => `"${each}"`).join(", ")})`,
		...(from ? { primary_conninfo: conninfo({ ...from, standby: name, passFile }) } : {}),
	};
	const args = ["-D", data, ...Object.entries(settings).flatMap(([key, value]) => ["-c", `${key}=${value}`])];
	const program = (file: string) => path.join(programs, file);
	return {
		...plainService,
		name,
		role: "postgres",
		after: from ? [from.name] : [],
		files: [],
		data: {
			folder: data,
			user,
			copy: from !== null,
			commands: (partial) =>
				from
					? [copyOf(from, partial, { program: program("pg_basebackup"), user, passFile })]
					: [
							initdb(partial, { program: program("initdb"), user, passwordFile }),
							createDatabase(plan.database, partial, { program: program("postgres"), user }),
						],
		},
		command: { program: program("postgres"), args, user },
		// Fast shutdown.
		stop: { signal: "SIGINT", graceMs: 10_000 },
		async ready() {
			const [row] = await askPostgres<{ good: boolean }>(port, password, from ? STREAMS : "select not pg_is_in_recovery() as good");
			return row?.good === true;
		},
		async inspect(): Promise<Facts> {
			if (from) {
				const [row] = await askPostgres<{ lag: number | null; streams: boolean }>(port, password, LAG);
				return { role: "replica", streams: row?.streams ?? false, lagMs: row?.lag ?? null };
			}
			const rows = await askPostgres<{ sync: string | null; replicas: number; connections: number }>(port, password, PRIMARY);
			return {
				role: "primary",
				synchronous: rows[0]?.sync ?? "nobody",
				replicas: rows[0]?.replicas ?? 0,
				connections: rows[0]?.connections ?? 0,
			};
		},
	};
}

const STREAMS = "select pg_is_in_recovery() and exists (select from pg_stat_wal_receiver where status = 'streaming') as good";

const LAG = `select exists (select from pg_stat_wal_receiver where status = 'streaming') as streams,
	case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
	else round(extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000)::int end as lag`;

const PRIMARY = `select (select string_agg(application_name, ', ') from pg_stat_replication where sync_state in ('sync', 'quorum')) as sync,
	(select count(*)::int from pg_stat_replication where state = 'streaming') as replicas,
	(select count(*)::int from pg_stat_activity where backend_type = 'client backend') as connections`;

interface Program {
	readonly program: string;
	readonly user: User | undefined;
}

function initdb(folder: string, { program, user, passwordFile }: Program & { readonly passwordFile: string }): Command {
	const access = ["-U", "postgres", "--auth=scram-sha-256", `--pwfile=${passwordFile}`];
	return { program, args: ["-D", folder, ...access, "--encoding=UTF8", "--locale=C", "--no-instructions", "--no-sync"], user };
}

/** Before it is a server: later a commit waits for a standby, which is not there yet. */
function createDatabase(name: string, folder: string, { program, user }: Program): Command {
	const script = 'echo "create database $NAME" | "$0" --single -D "$FOLDER" postgres >/dev/null';
	return { program: "/bin/sh", args: ["-c", script, program], env: { NAME: name, FOLDER: folder }, user };
}

function copyOf(from: { port: number }, folder: string, { program, user, passFile }: Program & { readonly passFile: string }): Command {
	const args = ["-h", HOST, "-p", String(from.port), "-U", "postgres", "-D", folder, "-X", "stream", "-c", "fast", "-w", "--no-sync"];
	// `-R` would also write down whom to follow, and that is said at every start.
	const script = '"$@" && touch "$TARGET/standby.signal"';
	return { program: "/bin/sh", args: ["-c", script, "sh", program, ...args], env: { PGPASSFILE: passFile, TARGET: folder }, user };
}

/** No password: the command line is everybody's to read. */
function conninfo({ port, standby, passFile }: { port: number; standby: string; passFile: string }): string {
	return `host=${HOST} port=${port} user=postgres passfile=${passFile} application_name=${standby}`;
}
