import { arch, cpus, freemem, platform, totalmem, uptime } from "node:os";

/** Milliseconds for which figures are not taken anew: the system is asked for every processor. */
const KEEP_MS = 1_000;

const MIB = 1_048_576;

export interface SystemFigures {
	readonly cpu: { readonly usage: number; readonly cores: number; readonly model: string };
	readonly memory: { readonly total: number; readonly used: number; readonly free: number; readonly usage: number };
	readonly uptime: number;
	readonly platform: string;
	readonly arch: string;
}

/** A source of figures of the host. Its first reading of the processors is their mean since the host started. */
export function systemFigures(): () => SystemFigures {
	let before = { busy: 0, all: 0 };
	let kept: { readonly figures: SystemFigures; readonly until: number } | undefined;
	return function figures() {
		const now = performance.now();
		if (kept !== undefined && now < kept.until) return kept.figures;
		const processors = cpus();
		const times = processors.map((each) => each.times);
		const all = times.reduce((sum, { user, nice, sys, idle, irq }) => sum + user + nice + sys + idle + irq, 0);
		const busy = all - times.reduce((sum, { idle }) => sum + idle, 0);
		const elapsed = all - before.all;
		const total = totalmem();
		const free = freemem();
		const taken: SystemFigures = {
			cpu: {
				usage: elapsed <= 0 ? 0 : Math.round((100 * (busy - before.busy)) / elapsed),
				cores: processors.length,
				model: processors[0]?.model ?? "unknown",
			},
			memory: {
				total: Math.round(total / MIB),
				used: Math.round((total - free) / MIB),
				free: Math.round(free / MIB),
				usage: Math.round((100 * (total - free)) / total),
			},
			uptime: Math.floor(uptime()),
			platform: platform(),
			arch: arch(),
		};
		before = { busy, all };
		kept = { figures: taken, until: now + KEEP_MS };
		return taken;
	};
}
