import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import type { HttpSettings } from "./settings.ts";

/** Which names the server answers to, and whose pages may use it. */
export interface Origins {
	/** A `Host` header. */
	isOurs(host: string | undefined): boolean;
	/** An `Origin` header. `null`, as sandboxed pages send it, is nobody's. */
	isAllowed(origin: string): boolean;
}

/** Both lists are exact; the port of the scheme may be written or not. */
export function allowedOrigins(settings: Pick<HttpSettings, "publicOrigin" | "allowedHosts" | "allowedOrigins">): Origins {
	const own = new URL(settings.publicOrigin);
	const port = own.protocol === "https:" ? 443 : 80;
	const named = [own.host, ...settings.allowedHosts].map((host) => host.toLowerCase());
	const hosts = new Set([...named, ...named.filter((host) => !/:\d+$/.test(host)).map((host) => `${host}:${port}`)]);
	const origins = new Set([own.origin, ...settings.allowedOrigins.map((origin) => origin.toLowerCase())]);
	return {
		// Most clients write it in lower case.
		isOurs: (host) => host !== undefined && (hosts.has(host) || hosts.has(host.toLowerCase())),
		isAllowed: (origin) => origins.has(origin),
	};
}

/** The client's address, as the balancer says where it is to be believed. It sets one value; several are somebody else's words. */
export function addressOf(request: IncomingMessage, trustProxy: boolean): string {
	const forwarded = trustProxy ? request.headers["x-forwarded-for"] : undefined;
	if (typeof forwarded === "string" && isIP(forwarded) !== 0) return forwarded;
	return request.socket.remoteAddress ?? "unknown";
}

/** Whom to count an address to: IPv6 clients own a whole /64, and IPv4 comes in two spellings. */
export function networkOf(address: string): string {
	if (!address.includes(":")) return address;
	const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
	if (mapped !== undefined) return mapped;
	const [head = "", tail] = address.split("::");
	const left = head === "" ? [] : head.split(":");
	const right = tail === undefined || tail === "" ? [] : tail.split(":");
	const zeros = tail === undefined ? [] : Array<string>(Math.max(0, 8 - left.length - right.length)).fill("0");
	return [...left, ...zeros, ...right]
		.slice(0, 4)
		.map((group) => group.replace(/^0+(?=.)/, ""))
		.join(":");
}

/** Whether the client came by HTTPS, which ends before the balancer. */
export function isHttps(request: IncomingMessage, trustProxy: boolean): boolean {
	return trustProxy && request.headers["x-forwarded-proto"] === "https";
}
