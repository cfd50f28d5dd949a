/** How services are asked: one short connection a question. */
import { get } from "node:http";
import { Redis } from "ioredis";
import pg from "pg";
import { HOST } from "../place.ts";

const PATIENCE_MS = 2_000;

/** Status and body of a GET. */
export function askHttp(
	host: string,
	port: number,
	path: string,
	headers: Record<string, string> = {},
): Promise<{ status: number; body: string }> {
	return new Promise((resolve, reject) => {
		const request = get({ host, port, path, headers, agent: false, timeout: PATIENCE_MS }, async (response) => {
			let body = "";
			try {
				for await (const chunk of response) body += chunk;
				resolve({ status: response.statusCode ?? 0, body });
			} catch (error) {
				reject(error);
			}
		});
		request.once("timeout", () => request.destroy(new Error(`no answer from ${host}:${port}`)));
		request.once("error", reject);
	});
}

/** The answer to one command. */
export async function askRedis(port: number, password: string | null, name: string, ...args: (string | number)[]): Promise<unknown> {
	const redis = new Redis({
		host: HOST,
		port,
		...(password === null ? {} : { password }),
		connectTimeout: PATIENCE_MS,
		commandTimeout: PATIENCE_MS,
		lazyConnect: true,
		retryStrategy: () => null,
	});
	redis.on("error", () => {});
	try {
		await redis.connect();
		return await redis.call(name, ...args);
	} finally {
		redis.disconnect();
	}
}

/** `INFO <section>` as an object. */
export async function redisInfo(port: number, password: string, section: string): Promise<Record<string, string>> {
	const text = String(await askRedis(port, password, "INFO", section));
	return Object.fromEntries(
		text.split("\r\n").flatMap((line) => (line.includes(":") ? [line.split(/:(.*)/s).slice(0, 2) as [string, string]] : [])),
	);
}

/** Rows of one statement, as the administrator. */
export async function askPostgres<Row extends pg.QueryResultRow>(
	port: number,
	password: string,
	text: string,
	values: readonly unknown[] = [],
): Promise<Row[]> {
	const client = new pg.Client({
		host: HOST,
		port,
		user: "postgres",
		password,
		database: "postgres",
		connectionTimeoutMillis: PATIENCE_MS,
	});
	client.on("error", () => {});
	await client.connect();
	try {
		return (await client.query<Row>(text, [...values])).rows;
	} finally {
		await client.end();
	}
}
