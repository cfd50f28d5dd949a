import type { JobMessage } from "../services/job-channel.ts";

/** Milliseconds between two words of progress; what comes meanwhile replaces what was there. */
const PROGRESS_EVERY = 250;

/** Milliseconds for which output is gathered, and characters that are passed on in that time. */
const output = { everyMs: 50, characters: 65_536 } as const;

const LEFT_OUT = "\n[output left out: more came than is passed on]\n";

/** Passes on what a tool says of itself, at a rate that those who listen can take. */
export class Reporter {
	readonly #say: (message: JobMessage) => void;
	#progress: Extract<JobMessage, { kind: "progress" }> | null = null;
	#output = { stdout: "", stderr: "" };
	#tooMuch = false;
	#progressTimer: NodeJS.Timeout | undefined;
	#outputTimer: NodeJS.Timeout | undefined;

	constructor(say: (message: JobMessage) => void) {
		this.#say = say;
	}

	progress(percent: number, message: string | null): void {
		this.#progress = { kind: "progress", percent, message };
		if (this.#progressTimer !== undefined) return;
		this.#sayProgress();
		this.#progressTimer = setTimeout(() => {
			this.#progressTimer = undefined;
			this.#sayProgress();
		}, PROGRESS_EVERY).unref();
	}

	output(stream: "stdout" | "stderr", data: string): void {
		const room = output.characters - this.#output.stdout.length - this.#output.stderr.length;
		if (data.length > room) this.#tooMuch = true;
		this.#output[stream] += data.slice(0, Math.max(0, room));
		this.#outputTimer ??= setTimeout(() => this.#sayOutput(), output.everyMs).unref();
	}

	/** Says what is left. */
	close(): void {
		clearTimeout(this.#progressTimer);
		this.#sayProgress();
		this.#sayOutput();
	}

	#sayProgress(): void {
		if (this.#progress !== null) this.#say(this.#progress);
		this.#progress = null;
	}

	#sayOutput(): void {
		clearTimeout(this.#outputTimer);
		this.#outputTimer = undefined;
		const { stdout, stderr } = this.#output;
		if (stdout !== "") this.#say({ kind: "output", stream: "stdout", data: stdout });
		if (stderr !== "" || this.#tooMuch) this.#say({ kind: "output", stream: "stderr", data: this.#tooMuch ? stderr + LEFT_OUT : stderr });
		this.#output = { stdout: "", stderr: "" };
		this.#tooMuch = false;
	}
}
