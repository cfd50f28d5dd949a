/** Passwords and keys of one topology: made by chance the first time, then kept in its folder, for its user alone. */
import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import { secretFiles } from "../app/contract.ts";
import type { Layout } from "./place.ts";
import type { User } from "./services/service.ts";

const password = () => z.string().default(secret);
const role = (name: string) => z.object({ username: z.string().default(name), password: password() }).prefault({});
const schema = z.object({
	postgresAdmin: password(),
	/** The two roles of the server, which take turns when they are rotated. */
	roleA: role("server_a"),
	roleB: role("server_b"),
	redisState: password(),
	redisCache: password(),
	/** Of the terminal hosts' user of the state Redis. */
	redisTerminals: password(),
	/** Signs session cookies. */
	session: password(),
});

/** The terminal hosts' user of the state Redis: it has terminals' keys and no others. */
export const TERMINALS_USER = "terminals";

export type Secrets = z.output<typeof schema>;

/** The secrets in a topology's folder. Those that are missing are made: all at first, later what an earlier version had not. */
export function readSecrets({ secrets: folder }: Layout): Secrets {
	const file = path.join(folder, "all.json");
	const kept = existsSync(file) ? readFileSync(file, "utf8") : "{}";
	const secrets = schema.parse(JSON.parse(kept));
	const text = JSON.stringify(secrets, null, 2);
	if (text !== kept) writePrivate(file, text);
	return secrets;
}

/** Files of secrets by their path below the secrets folder. */
export function secretFilesOf(secrets: Secrets): Readonly<Record<string, string>> {
	const file = (credential: keyof typeof secretFiles, name: string) => `${secretFiles[credential]}/${name}`;
	return {
		[file("postgres", "username")]: secrets.roleA.username,
		[file("postgres", "password")]: secrets.roleA.password,
		[file("postgres", "previous-username")]: secrets.roleB.username,
		[file("postgres", "previous-password")]: secrets.roleB.password,
		[file("postgresAdmin", "username")]: "postgres",
		[file("postgresAdmin", "password")]: secrets.postgresAdmin,
		[file("postgresAdmin", "current-username")]: secrets.roleA.username,
		[file("postgresAdmin", "current-password")]: secrets.roleA.password,
		[file("postgresAdmin", "previous-username")]: secrets.roleB.username,
		[file("postgresAdmin", "previous-password")]: secrets.roleB.password,
		[file("redisState", "username")]: "default",
		[file("redisState", "password")]: secrets.redisState,
		[file("redisCache", "username")]: "default",
		[file("redisCache", "password")]: secrets.redisCache,
		[file("redisTerminals", "username")]: TERMINALS_USER,
		[file("redisTerminals", "password")]: secrets.redisTerminals,
		[file("session", "current")]: secrets.session,
	};
}

/** 192 bits, of characters that need no quoting anywhere. */
function secret(): string {
	return randomBytes(24).toString("hex");
}

/** Writes a file that only its owner may read, and the folders above it. */
export function writePrivate(file: string, text: string, user?: User): void {
	mkdirSync(path.dirname(file), { recursive: true, mode: user ? 0o711 : 0o700 });
	writeFileSync(file, text, { mode: 0o600 });
	chmodSync(file, 0o600);
	if (user) chownSync(file, user.uid, user.gid);
}
