/** What this machine has: looked up once, before anything is planned. */
import { execFileSync, spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import type { User } from "./services/service.ts";
import type { Machine } from "./topology.ts";

/** Debian keeps servers in folders that are not on everybody's PATH. */
const MORE_FOLDERS = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/** Path of a program, or null. */
export function which(program: string): string | null {
	const folders = [...(process.env.PATH ?? "").split(path.delimiter).filter(Boolean), ...MORE_FOLDERS];
	return folders.map((folder) => path.join(folder, program)).find(isExecutable) ?? null;
}

function isExecutable(file: string): boolean {
	try {
		accessSync(file, constants.X_OK);
		return true;
	} catch {
		return false;
	}
}

/** The folder that has all of PostgreSQL's programs we need: on the PATH, or Debian's of the newest version. */
export function findPostgres(): string | null {
	const debian = "/usr/lib/postgresql";
	const versions = existsSync(debian) ? readdirSync(debian).sort((one, other) => Number(other) - Number(one)) : [];
	const folders = [...(process.env.PATH ?? "").split(path.delimiter), ...versions.map((version) => path.join(debian, version, "bin"))];
	return (
		folders.find((folder) => ["postgres", "initdb", "pg_basebackup"].every((program) => isExecutable(path.join(folder, program)))) ?? null
	);
}

/** rsyslogd, where its part for Elasticsearch is there as well. */
function findRsyslog(): string | null {
	const modules = ["/usr/lib64/rsyslog", "/usr/lib/rsyslog", ...globSync("/usr/lib/*/rsyslog")];
	return modules.some((folder) => existsSync(path.join(folder, "omelasticsearch.so"))) ? which("rsyslogd") : null;
}

/** Null for each program that is missing. */
export type Programs = { readonly [P in keyof Machine["programs"]]: string | null };

export function findPrograms(): Programs {
	return {
		haproxy: which("haproxy"),
		redis: which("redis-server"),
		postgres: findPostgres(),
		prometheus: which("prometheus"),
		alertmanager: which("prometheus-alertmanager") ?? which("alertmanager"),
		rsyslog: findRsyslog(),
	};
}

/** Who PostgreSQL runs as: Debian's user for it where this is root, else whoever this is. Null where root finds none. */
export function postgresUser(): User | undefined | null {
	if (process.getuid?.() !== 0) return undefined;
	const number = (flag: string) => spawnSync("id", [flag, "postgres"], { encoding: "utf8" });
	const [uid, gid] = [number("-u"), number("-g")];
	return uid.status === 0 && gid.status === 0 ? { uid: Number(uid.stdout), gid: Number(gid.stdout) } : null;
}

/**
 * The first of many user ids that shells may have, each host a thousand of them: far from those of people, of services and of
 * containers where this system has so many. Null where this is not root, and so cannot become anybody else.
 */
export function firstShellUid(): number | null {
	if (process.getuid?.() !== 0) return null;
	const maps = readFileSync("/proc/self/uid_map", "utf8").trim().split("\n");
	const isMapped = maps.some((line) => {
		const [inside = 0, , count = 0] = line.trim().split(/\s+/).map(Number);
		return inside <= SHELL_UIDS && SHELL_UIDS + MOST_SHELL_UIDS <= inside + count;
	});
	return isMapped ? SHELL_UIDS : 40_000;
}

const SHELL_UIDS = 900_000_000;
const MOST_SHELL_UIDS = 10_000_000; // 500 ports, 20 nodes, 1,000 each

/** The most files that one process of ours may open. Node raises its own limit to this at the start. */
export function openFiles(): number {
	const [, hard] = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
	return hard === "unlimited" ? 1_048_576 : Number(hard);
}

export function hasIpv6(): boolean {
	return Object.values(os.networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === "::1"));
}

/** A program's first line about its version, or null where it cannot be run. */
export function versionOf(program: string, flag: string): string | null {
	try {
		return execFileSync(program, [flag], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).split("\n")[0] ?? null;
	} catch {
		return null;
	}
}
