/** When a process is to stop, and how often it has been told. */
import type { Log } from "../observe/log.ts";

/** The same signal again, later than this, is an order to stop at once. Earlier it is the same order, come by two ways. */
const FORCE_AFTER_MS = 1_000;

/** What a process needs to be stopped; the real one but for tests. */
export interface Stoppable {
	// biome-ignore lint/suspicious/noExplicitAny: as EventEmitter has it
	on(event: string, listener: (...values: any[]) => void): unknown;
	exit(code: number): void;
}

/**
 * Drains once, whoever asks first: SIGTERM, SIGINT (which `pm2 reload` sends), PM2's message `shutdown`, PM2's end, or an
 * error that nobody caught. Then exits: 0, or 1 after such an error or an order to stop at once.
 *
 * @param drain resolves when nothing is left to do
 * @param drainMs when to exit anyway
 * @param last runs right before the exit; must not wait
 */
export function stopOnOrder(
	process: Stoppable,
	{ drain, drainMs, log, last }: { drain: () => Promise<void>; drainMs: number; log: Log; last: () => void },
): void {
	const first = new Map<string, number>();
	let code = 0;
	let draining = false;

	const exit = (how: number) => {
		last();
		process.exit(how);
	};
	const begin = async (why: string) => {
		if (draining) return;
		draining = true;
		log.info({ "event.reason": why }, "draining");
		const late = setTimeout(() => {
			log.warn("the drain takes too long: what is left is cut off");
			exit(code);
		}, drainMs);
		try {
			await drain();
			log.info("drained");
		} catch (error) {
			log.error({ err: error }, "the drain failed");
			code = 1;
		}
		clearTimeout(late);
		exit(code);
	};
	const order = (why: string) => {
		const before = first.get(why);
		if (before === undefined) {
			first.set(why, performance.now());
			void begin(why);
		} else if (performance.now() - before > FORCE_AFTER_MS) {
			log.warn({ "event.reason": why }, "told again: stopping at once");
			exit(1);
		}
	};
	const broken = (error: unknown) => {
		log.fatal({ err: error }, "an error that nobody caught");
		code = 1;
		void begin("error");
	};

	for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => order(signal));
	process.on("message", (message: unknown) => {
		if (message === "shutdown") order("shutdown");
	});
	process.on("disconnect", () => order("PM2 is gone"));
	process.on("uncaughtException", broken);
	// PM2 listens to it and goes on, so that Node itself would not end the process.
	process.on("unhandledRejection", broken);
}
