import { findStep, recordStep, type Step } from "../stores/jobs.ts";
import type { Database, Queryable } from "../stores/postgres.ts";
import type { Changer } from "./changes.ts";

/** An attempt of a job, and what it may still do. */
export interface Attempt {
	readonly job: string;
	readonly attempt: number;
	/** Fulfilled when the job is this attempt's: nothing is done before. @throws AttemptOver where it is another's */
	readonly claimed?: () => Promise<void>;
}

/** The attempt is over: another one has the job, or it was cancelled. What it was about to do is not done. */
export class AttemptOver extends Error {
	constructor({ job, attempt }: Pick<Attempt, "job" | "attempt">) {
		super(`attempt ${attempt} of job ${job} is over`);
		this.name = "AttemptOver";
	}
}

/** The step by which a tool marks that it has begun what cannot be done twice. Asking for the job anew takes the mark away. */
export const BEGUN = "begun";

/** A step's name in the job's record, where it can be no change's. */
export function recordName(step: string): string {
	return `step-${step}`;
}

/** What an attempt does, done once for its job. */
export interface Once {
	/** Makes changes in the order in which they are asked for; one that was made before only answers. @throws AttemptOver */
	readonly change: Changer;
	/** Does it and keeps the answer, or gives the answer kept. @throws AttemptOver */
	step<T>(name: string, decide: () => Promise<T>): Promise<T>;
}

/**
 * A worker that is lost after a change and before its word of it leaves a job that is run again. So each change is recorded
 * in the transaction that makes it, under the job and its place among the job's changes: both are there or neither.
 *
 * @param change makes changes, as often as it is asked
 */
export function once(database: Database, change: Changer, { claimed, ...attempt }: Attempt): Once {
	let changes = 0;

	async function recall(client: Queryable, step: Step): Promise<{ result: unknown } | null> {
		const { mine, done } = await findStep(client, step);
		if (!mine) throw new AttemptOver(attempt);
		return done;
	}

	return {
		async change(principal, load, make) {
			const step = { ...attempt, step: `change-${changes}` };
			changes += 1;
			await claimed?.();
			return await change(
				principal,
				(client) => recall(client, step),
				async (done, open) => {
					if (done !== null) return done.result as Awaited<ReturnType<typeof make>>;
					const result = await make(await load(open.client), open);
					await recordStep(open.client, step, jsonOf(result));
					return result;
				},
			);
		},

		async step(name, decide) {
			const step = { ...attempt, step: recordName(name) };
			await claimed?.();
			const recalled = await database.write([], (client) => recall(client, step));
			if (recalled !== null) return recalled.result as Awaited<ReturnType<typeof decide>>;
			const result = await decide();
			await database.write([], async (client) => {
				if ((await recall(client, step)) === null) await recordStep(client, step, jsonOf(result));
			});
			return result;
		},
	};
}

function jsonOf(value: unknown): string | null {
	return JSON.stringify(value) ?? null;
}
