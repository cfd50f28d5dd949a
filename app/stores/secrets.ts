import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** Name and password of a role or user in a data store. */
export interface Credentials {
	readonly username: string;
	readonly password: string;
}

/**
 * The credentials in a folder of secret files: `username` and `password`, with a prefix where there is one.
 * Read from the files at every call, so that a rotation needs no restart.
 *
 * @param folder the credential's folder, e.g. `/run/secrets/agentic-flow/postgres`
 * @param prefix `previous-` and the like
 * @returns null where the user name's file is missing
 */
export async function readCredentials(folder: string, prefix = ""): Promise<Credentials | null> {
	const [username, password] = await Promise.all([read(join(folder, `${prefix}username`)), read(join(folder, `${prefix}password`))]);
	return username === null ? null : { username, password: password ?? "" };
}

/** Without the line break that editors and `echo` leave at the end. */
async function read(file: string): Promise<string | null> {
	try {
		return (await readFile(file, "utf8")).replace(/\r?\n$/, "");
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
		throw error;
	}
}

/**
 * The database roles to try, in order: the one in use now, then the one before it, which is still good while a rotation
 * is on its way.
 *
 * @param folder folder of the credential `postgres`
 * @throws Error where there is no user name
 */
export async function postgresCredentials(folder: string): Promise<Credentials[]> {
	const found = await Promise.all([readCredentials(folder), readCredentials(folder, "previous-")]);
	const credentials = found.filter((each) => each !== null);
	if (credentials.length === 0) throw new Error(`no database role: ${join(folder, "username")} is missing`);
	return credentials;
}
