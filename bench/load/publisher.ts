/** Posts the tasks that are to be fanned out: the description of each carries its number and when it was sent. */
import { Agent, request } from "node:http";

export interface Publisher {
	/** Posts so many at once. @returns when all have been answered */
	burst(count: number): Promise<void>;
	readonly sent: number;
	/** Posts that were not answered with 2xx. */
	readonly failed: readonly string[];
	close(): void;
}

/** After the mark, so that a message is some 470 bytes on the wire. */
const PADDING = "p".repeat(40);

/** @param targets one after another: the load balancer alone, or every process */
export function startPublisher(
	targets: readonly { readonly host: string; readonly port: number; readonly path: string }[],
	headers: Readonly<Record<string, string>> = {},
): Publisher {
	const agent = new Agent({ keepAlive: true, maxSockets: 32 });
	const failed: string[] = [];
	let sent = 0;

	function post(): Promise<void> {
		const { host, port, path } = targets[sent % targets.length] as (typeof targets)[number];
		const number = sent;
		sent += 1;
		return new Promise((resolve) => {
			const call = request(
				{ host, port, path, method: "POST", agent, timeout: 20_000, headers: { "content-type": "application/json", ...headers } },
				(response) => {
					response.resume();
					response.once("end", () => {
						const { statusCode = 0 } = response;
						if (statusCode < 200 || statusCode > 299) failed.push(String(statusCode));
						resolve();
					});
				},
			);
			call.once("timeout", () => call.destroy(new Error("no answer in 20 s")));
			call.once("error", (error) => {
				failed.push(error.message);
				resolve();
			});
			const description = `@${number}@${process.hrtime.bigint() / 1_000n}@${PADDING}`;
			call.end(JSON.stringify({ description }));
		});
	}

	return {
		async burst(count) {
			await Promise.all(Array.from({ length: count }, post));
		},
		get sent() {
			return sent;
		},
		failed,
		close: () => agent.destroy(),
	};
}
