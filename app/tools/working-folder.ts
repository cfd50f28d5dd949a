/** Where commands work: a folder for each run, below the system's for temporary files. */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

const FOLDER = "agentic-flow-tool-";

/** With an empty folder, which is gone afterwards. */
export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
	swept ??= sweep();
	await swept;
	const folder = await mkdtemp(path.join(tmpdir(), `${FOLDER}${process.pid}-`));
	try {
		return await work(folder);
	} finally {
		await rm(folder, { recursive: true, force: true });
	}
}

let swept: Promise<void> | undefined;

/** Deletes what processes left that were lost: they are not there any more, or had this one's id before it. */
async function sweep(): Promise<void> {
	const names = await readdir(tmpdir()).catch(() => []);
	const owners = names.flatMap((name) => {
		const [, pid] = name.startsWith(FOLDER) ? (/^(\d+)-/.exec(name.slice(FOLDER.length)) ?? []) : [];
		return pid === undefined ? [] : [{ name, pid: Number(pid) }];
	});
	for (const { name, pid } of owners) {
		if (pid === process.pid || !isThere(pid)) await rm(path.join(tmpdir(), name), { recursive: true, force: true }).catch(() => {});
	}
}

function isThere(pid: number): boolean {
	try {
		process.kill(pid, 0);
		return true;
	} catch (error) {
		// It may be somebody else's.
		return (error as NodeJS.ErrnoException).code === "EPERM";
	}
}
