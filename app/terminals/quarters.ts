/** Where shells live: for each a home folder and, where this process may say so, a user of its own. */
import { execFile } from "node:child_process";
import {
	chmodSync,
	chownSync,
	existsSync,
	mkdirSync,
	readdirSync,
	readFileSync,
	readlinkSync,
	rmdirSync,
	rmSync,
	statSync,
	writeFileSync,
} from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { as, MARK, type ShellUser } from "./launch.ts";

const run = promisify(execFile);

/** User ids that one host uses, from the first on. */
const USERS = 1_000;

/** Nobody has a name here. */
const PROMPT = "PS1='\\w\\$ '\n";

/** Deletes what is in a folder, `$1`, whatever its owner has made of it. */
const EMPTY = 'chmod -R u+rwX -- "$1"; rm -rf --one-file-system -- "$1"/* "$1"/.[!.]* "$1"/..?*';

/** How often what is to die is looked for again before it is given up. */
const ATTEMPTS = 10;

/** How often in a row nothing is found before all are gone: what forks while /proc is read may be in none of its lines. */
const LOOKS = 2;

export interface Quarter {
	/** Null for this process's own. */
	readonly user: ShellUser | null;
	readonly home: string;
	/** In the environment of every process of the terminal that has not changed it. */
	readonly mark: string;
}

/** Kills whatever runs, as well what has left its terminal or ignores signals, and then removes everything. */
export class Quarters {
	readonly #folder: string;
	readonly #firstUid: number | null;
	readonly #used = new Set<number>();
	#next: number;

	/**
	 * @param folder for the homes; made where it is missing, and nobody else's
	 * @param firstUid the first of {@link USERS} user ids that nobody else has; null where this process cannot become another user
	 */
	constructor(folder: string, firstUid: number | null) {
		this.#folder = folder;
		this.#firstUid = firstUid;
		this.#next = Math.floor(Math.random() * USERS);
		mkdirSync(folder, { recursive: true });
		// To be passed through, and not to be listed.
		chmodSync(folder, 0o711);
	}

	/** Whether each shell has a user of its own. */
	get separate(): boolean {
		return this.#firstUid !== null;
	}

	/** Ends what a host that was killed has left behind. */
	async clear(): Promise<void> {
		for (const name of readdirSync(this.#folder)) {
			const home = path.join(this.#folder, name);
			const { uid } = statSync(home);
			await this.vacate({ user: this.#firstUid !== null && uid !== 0 ? { uid } : null, home, mark: home });
		}
	}

	/** A home and a user that nobody has, in turn: what one leaves in /tmp the next does not own. */
	occupy(sessionId: string): Quarter {
		const home = path.join(this.#folder, sessionId);
		mkdirSync(path.join(home, "tmp"), { recursive: true, mode: 0o700 });
		chmodSync(home, 0o700);
		writeFileSync(path.join(home, ".bashrc"), PROMPT);
		if (this.#firstUid === null) return { user: null, home, mark: home };
		const uid = this.#freeUid(this.#firstUid);
		this.#used.add(uid);
		for (const name of ["tmp", ".bashrc"]) chownSync(path.join(home, name), uid, uid);
		chownSync(home, uid, uid);
		return { user: { uid }, home, mark: home };
	}

	/** Kills all processes of a quarter, and deletes its home. Resolves with how many would not die. */
	async vacate({ user, home, mark }: Quarter): Promise<number> {
		let found: readonly number[] = [];
		for (let attempt = 0, empty = 0; ; attempt += 1) {
			const seen = look(user, mark);
			found = seen.found;
			empty = found.length > 0 || seen.starting ? 0 : empty + 1;
			if (empty === LOOKS || attempt === ATTEMPTS) break;
			if (user === null) for (const pid of found) kill(pid);
			// All at once, and none of them can fork its way out of it.
			else if (found.length > 0) await runAs(user, "kill -KILL -1");
			await new Promise((resolve) => setTimeout(resolve, 10 * attempt));
		}
		if (existsSync(home)) {
			if (user === null) rmSync(home, { recursive: true, force: true });
			else {
				// As the user whose files they are: without all its rights root may not enter where it is not let in.
				await runAs(user, EMPTY, home);
				rmdirSync(home);
			}
		}
		if (user !== null) this.#used.delete(user.uid);
		return found.length;
	}

	#freeUid(first: number): number {
		for (let tries = 0; tries < USERS; tries += 1) {
			const uid = first + this.#next;
			this.#next = (this.#next + 1) % USERS;
			// Whoever has it, and whatever runs as it, is not to be killed with a terminal.
			if (!this.#used.has(uid) && look({ uid }, "").found.length === 0) return uid;
		}
		throw new Error(`all ${USERS} users are in use`);
	}
}

/** Whether this process may become another user, and has the programs for it. */
export async function canBecome(uid: number): Promise<boolean> {
	if (process.getuid?.() !== 0) return false;
	return await runAs({ uid }, "true");
}

/** Runs a fixed script; `argument` is its `$1`. @returns whether it went well */
async function runAs(user: ShellUser, script: string, argument = ""): Promise<boolean> {
	const [program, ...args] = as(user) as [string, ...string[]];
	// `kill -1` spares who says it.
	return run(program, [...args, "sh", "-c", script, "sh", argument], { cwd: "/", env: { PATH: "/usr/bin:/bin" } }).then(
		() => true,
		() => false,
	);
}

/**
 * Processes of a user; of this process's own those that carry the mark.
 *
 * @returns `starting` where one is just becoming another program: it has no environment yet, and may be a marked one
 */
function look(user: ShellUser | null, mark: string): { readonly found: number[]; readonly starting: boolean } {
	const found: number[] = [];
	let starting = false;
	for (const name of readdirSync("/proc")) {
		const pid = Number(name);
		if (!Number.isInteger(pid) || pid === process.pid) continue;
		try {
			if (user !== null) {
				if (isOf(pid, user)) found.push(pid);
				continue;
			}
			const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
			if (environment.split("\0").includes(`${MARK}=${mark}`)) found.push(pid);
			if (environment === "") starting ||= isStarting(pid);
		} catch {
			// It has ended, or is not ours to look into.
		}
	}
	return { found, starting };
}

/** A zombie is dead, and waits only to be asked how it died. */
function isOf(pid: number, { uid }: ShellUser): boolean {
	const status = readFileSync(`/proc/${pid}/status`, "utf8");
	return Number(/^Uid:\t(\d+)/m.exec(status)?.[1]) === uid && !/^State:\tZ/m.test(status);
}

/** Within execve(2) a process has a program, and neither arguments nor an environment. The dead and the kernel's have no program. */
function isStarting(pid: number): boolean {
	return readFileSync(`/proc/${pid}/cmdline`, "utf8") === "" && readlinkSync(`/proc/${pid}/exe`) !== "";
}

function kill(pid: number): void {
	try {
		process.kill(pid, "SIGKILL");
	} catch {
		// It was faster.
	}
}
