import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import type { Principal } from "../model.ts";
import { type Gate, isRefusal, type Place, type Refusal } from "./gate.ts";

/** Somebody who may come in: its place is the taker's to give back. */
export interface Entry {
	readonly place: Place;
	/** Null for somebody who has yet to say who it is. */
	readonly principal: Principal | null;
}

export type TakeUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer, entry: Entry) => void;

/** Takes over every upgrade of the server, and hands each to what its path speaks. */
export function routeUpgrades(
	server: Server,
	gate: Gate,
	routes: {
		readonly sync: { readonly path: string; readonly take: TakeUpgrade };
		readonly socketIo: { readonly path: string; readonly take: TakeUpgrade; readonly resume: TakeSession };
		/** Only for who has said who it is: there is no way to do so later. */
		readonly mcp: { readonly path: string; readonly take: TakeUpgrade };
	},
): void {
	server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
		// Whatever happens to it from here on concerns nobody but its client.
		socket.on("error", ignore);
		const path = pathOf(request);
		const refuse = (refusal: Refusal) => refuseUpgrade(socket, refusal);
		if (request.method !== "GET" || request.headers.upgrade?.toLowerCase() !== "websocket") refuse(gate.refuse("malformed"));
		else if (path === routes.sync.path) admit(gate, request, socket, head, routes.sync.take);
		else if (path === routes.socketIo.path && !isEngineSession(request)) admit(gate, request, socket, head, routes.socketIo.take);
		else if (path === routes.socketIo.path) {
			const refusal = gate.inspect(request);
			if (refusal === null) routes.socketIo.resume(request, socket, head);
			else refuse(refusal);
		} else if (path === routes.mcp.path) admit(gate, request, socket, head, knownOnly(gate, routes.mcp.take));
		else refuse(gate.refuse("path"));
	});
}

function knownOnly(gate: Gate, take: TakeUpgrade): TakeUpgrade {
	return (request, socket, head, entry) => {
		if (entry.principal !== null) return take(request, socket, head, entry);
		gate.leave(entry.place);
		refuseUpgrade(socket, gate.refuse("credential"));
	};
}

/** Takes a request of a session that has been let in before. */
export type TakeSession = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

export function pathOf(request: IncomingMessage): string {
	return (request.url ?? "").split("?", 1)[0] as string;
}

export function queryOf(request: IncomingMessage): URLSearchParams {
	return new URLSearchParams(request.url?.split("?", 2)[1] ?? "");
}

/** True of an Engine.IO request that names its session. */
export function isEngineSession(request: IncomingMessage): boolean {
	return queryOf(request).has("sid");
}

/** Host, origin, storms, addresses, credential: what a plain request for a session goes through as well. */
export async function letIn(gate: Gate, request: IncomingMessage): Promise<Entry | Refusal> {
	const place = gate.enter(request);
	if (isRefusal(place)) return place;
	const principal = await gate.identify(request);
	if (isRefusal(principal)) {
		gate.leave(place);
		return principal;
	}
	// While it was found out who it is the drain may have begun.
	const refusal = gate.closing ? gate.refuse("draining") : principal && gate.settle(place, principal);
	if (refusal === null) return { place, principal };
	gate.leave(place);
	return refusal;
}

function admit(gate: Gate, request: IncomingMessage, socket: Duplex, head: Buffer, take: TakeUpgrade): void {
	// Never rejects: faults are refusals too.
	void letIn(gate, request).then((entry) => {
		if (isRefusal(entry)) refuseUpgrade(socket, entry);
		else if (socket.destroyed) gate.leave(entry.place);
		else take(request, socket, head, entry);
	});
}

function refuseUpgrade(socket: Duplex, refusal: Refusal): void {
	if (isForAnother(refusal)) {
		socket.destroy();
		return;
	}
	const { body, headers } = answer(refusal);
	const lines = Object.entries({ ...headers, Connection: "close" }).map(([name, value]) => `${name}: ${value}\r\n`);
	socket.once("finish", socket.destroy);
	socket.end(`HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}\r\n${lines.join("")}\r\n${body}`);
}

export function refuseRequest(response: ServerResponse, refusal: Refusal, origin: string | undefined): void {
	if (isForAnother(refusal)) {
		response.destroy();
		return;
	}
	const { body, headers } = answer(refusal);
	// A page may read why, unless it is its origin that is wrong.
	const cors =
		origin === undefined || refusal.reason === "origin" || refusal.reason === "host"
			? {}
			: { "Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true", Vary: "Origin" };
	response.writeHead(refusal.status, { ...headers, ...cors }).end(body);
}

/** True where a balancer is to ask another worker, as it does when it gets no answer at all. */
function isForAnother({ reason }: Refusal): boolean {
	return reason === "draining";
}

function answer({ status, message, retryAfterSeconds }: Refusal): { body: string; headers: Record<string, string | number> } {
	const body = JSON.stringify({ success: false, error: STATUS_CODES[status], message, timestamp: new Date().toISOString() });
	return {
		body,
		headers: {
			"Content-Type": "application/json",
			"Content-Length": Buffer.byteLength(body),
			...(retryAfterSeconds === undefined ? {} : { "Retry-After": retryAfterSeconds }),
			...(status === 401 ? { "WWW-Authenticate": "Bearer" } : {}),
		},
	};
}

function ignore(): void {}
