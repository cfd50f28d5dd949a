/** What processes cost, as the kernel has counted it. */
import { readdirSync, readFileSync } from "node:fs";

/** Microseconds of one tick of the kernel's clock: USER_HZ is 100 on every Linux that Node runs on. */
const TICK_US = 10_000;

interface Stat {
	readonly parent: number;
	readonly cpuUs: number;
}

/** Null where there is no such process. */
function statOf(pid: number): Stat | null {
	try {
		const text = readFileSync(`/proc/${pid}/stat`, "utf8");
		// The name, in brackets, may hold anything.
		const fields = text
			.slice(text.lastIndexOf(")") + 2)
			.split(" ")
			.map(Number);
		// Of itself and of the children it has waited for: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
		const ticks = (fields[11] as number) + (fields[12] as number) + (fields[13] as number) + (fields[14] as number);
		return { parent: fields[1] as number, cpuUs: ticks * TICK_US };
	} catch {
		return null;
	}
}

/** These processes and all below them. */
export function familyOf(roots: readonly number[]): number[] {
	const children = new Map<number, number[]>();
	for (const name of readdirSync("/proc")) {
		if (!/^\d+$/.test(name)) continue;
		const parent = statOf(Number(name))?.parent;
		if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
	}
	const found = new Set<number>();
	const visit = (pid: number) => {
		if (found.has(pid)) return;
		found.add(pid);
		for (const child of children.get(pid) ?? []) visit(child);
	};
	for (const root of roots) visit(root);
	return [...found];
}

/** CPU that these processes have used so far, microseconds. */
export function cpuUsOf(pids: readonly number[]): number {
	return pids.reduce((sum, pid) => sum + (statOf(pid)?.cpuUs ?? 0), 0);
}

/** Resident memory that is no file's: pages of files come and go as the kernel pleases. */
export function anonymousKibOf(pids: readonly number[]): number {
	return pids.reduce((sum, pid) => sum + anonymousKib(pid), 0);
}

/** https://man7.org/linux/man-pages/man5/proc_pid_status.5.html */
function anonymousKib(pid: number): number {
	try {
		return Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
	} catch {
		return 0;
	}
}

/** The machine's own count, microseconds of all processors together. */
export interface MachineCpu {
	readonly busyUs: number;
	readonly stolenUs: number;
	readonly allUs: number;
}

export function machineCpu(): MachineCpu {
	const [line = ""] = readFileSync("/proc/stat", "utf8").split("\n");
	const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, softirq = 0, steal = 0] = line.split(/\s+/).slice(1).map(Number);
	const busy = user + nice + system + irq + softirq;
	return { busyUs: busy * TICK_US, stolenUs: steal * TICK_US, allUs: (busy + idle + wait + steal) * TICK_US };
}

/** A service's processes by what they are for: `worker`, `haproxy`, `redis`. */
export type Roles = Readonly<Record<string, readonly number[]>>;

/** What a stretch of time cost. */
export interface Cost {
	readonly seconds: number;
	readonly cpuUs: Readonly<Record<string, number>>;
	/** Share of the machine's processors that went to others: to processes that are not ours, and to the host. */
	readonly foreign: number;
	/** Share that went to everything of the benchmark's. */
	readonly used: number;
}

/**
 * Counts from here on.
 *
 * @param ours everything that belongs to the benchmark, whether it is part of what is measured or not
 */
export function startCounting(roles: Roles, ours: () => readonly number[]): () => Cost {
	const began = performance.now();
	const before = Object.fromEntries(Object.entries(roles).map(([role, pids]) => [role, cpuUsOf(pids)]));
	const oursBefore = cpuUsOf(ours());
	const machineBefore = machineCpu();
	return () => {
		const machine = machineCpu();
		const all = machine.allUs - machineBefore.allUs;
		const own = cpuUsOf(ours()) - oursBefore;
		const others = Math.max(0, machine.busyUs - machineBefore.busyUs - own) + (machine.stolenUs - machineBefore.stolenUs);
		return {
			seconds: (performance.now() - began) / 1_000,
			cpuUs: Object.fromEntries(Object.entries(roles).map(([role, pids]) => [role, cpuUsOf(pids) - (before[role] as number)])),
			foreign: all > 0 ? others / all : 0,
			used: all > 0 ? own / all : 0,
		};
	};
}
