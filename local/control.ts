/** How `flowctl` and the supervisor's process talk: one line of JSON is a request, further lines are what happens. */

import { existsSync, rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { createInterface } from "node:readline";
import type { Access, Order, Status } from "./cluster.ts";

export type { Access, Order, Status };

import type { Command } from "./services/service.ts";
import type { Told } from "./supervisor.ts";

export interface Up extends Pick<Status, "settings" | "urls" | "absent"> {
	/** It was there before. */
	readonly already: boolean;
	readonly access: Access;
}

/** What may be asked, and what the answer is. */
export interface Requests {
	/** Starts everything, or says that it is there. */
	up: { readonly ask: { readonly order: Order }; readonly answer: Up };
	status: { readonly ask: object; readonly answer: Status };
	reload: { readonly ask: object; readonly answer: undefined };
	scale: { readonly ask: { readonly nodes: number }; readonly answer: undefined };
	failover: { readonly ask: { readonly what: "redis" | "postgres" }; readonly answer: { readonly ms: number } };
	/** The token that `up` shows. */
	access: { readonly ask: object; readonly answer: Access };
	token: { readonly ask: { readonly words: readonly string[] }; readonly answer: { readonly output: string } };
	/** How a role of the server's is run here, by whoever asks. */
	command: { readonly ask: { readonly role: "import" }; readonly answer: Command };
	down: { readonly ask: { readonly volumes: boolean }; readonly answer: undefined };
}

export type Operation = keyof Requests;

export type Handlers = {
	readonly [O in Operation]: (ask: Requests[O]["ask"], tell: (told: Told) => void) => Promise<Requests[O]["answer"]>;
};

interface Request {
	readonly operation: Operation;
	readonly ask: unknown;
}

type Line = { readonly told: Told } | { readonly answer: unknown } | { readonly error: string };

/** Serves requests on a socket of the file system, which only its owner may use. */
export async function serveControl(file: string, handlers: Handlers): Promise<Server> {
	if (existsSync(file)) rmSync(file);
	const server = createServer((socket) => {
		const say = (line: Line) => void (socket.writable && socket.write(`${JSON.stringify(line)}\n`));
		socket.on("error", () => {});
		createInterface({ input: socket })
			.on("line", async (text) => {
				try {
					const { operation, ask } = JSON.parse(text) as Request;
					if (!Object.hasOwn(handlers, operation)) throw new Error(`this supervisor cannot "${operation}"`);
					const handle = handlers[operation] as (ask: unknown, tell: (told: Told) => void) => Promise<unknown>;
					say({ answer: (await handle(ask, (told) => say({ told }))) ?? null });
				} catch (error) {
					say({ error: (error as Error).message });
				}
				socket.end();
			})
			.on("error", () => {});
	});
	await new Promise<void>((resolve, reject) => server.once("error", reject).listen(file, resolve));
	return server;
}

/** Nobody answers at the socket. */
export class NoSupervisor extends Error {}

/**
 * Asks, and waits for the answer.
 *
 * @throws NoSupervisor; Error with what the supervisor says went wrong
 */
export function askControl<O extends Operation>(
	file: string,
	operation: O,
	ask: Requests[O]["ask"],
	tell: (told: Told) => void = () => {},
): Promise<Requests[O]["answer"]> {
	return new Promise((resolve, reject) => {
		const socket = connect(file);
		let connected = false;
		socket.once("connect", () => {
			connected = true;
			socket.write(`${JSON.stringify({ operation, ask } satisfies Request)}\n`);
		});
		socket.once("error", (error) => reject(connected ? error : new NoSupervisor(error.message)));
		socket.once("close", () => reject(new Error("the supervisor ended before it answered; flowctl logs supervisor says why")));
		createInterface({ input: socket })
			.on("line", (text) => {
				const line = JSON.parse(text) as Line;
				if ("told" in line) tell(line.told);
				else if ("error" in line) reject(new Error(line.error));
				else resolve(line.answer as Requests[O]["answer"]);
			})
			.on("error", () => {});
	});
}
