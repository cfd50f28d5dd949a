import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:http2";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stickyCookie } from "../../app/sticky-cookie.ts";
import { certificateIn } from "./certificate.ts";
import { Daemon, freePort, missing } from "./daemon.ts";
import { addressesOf, settingsFor } from "./settings.ts";
import { type Seen, Worker } from "./workers.ts";

describe.skipIf(missing)("a TLS origin", () => {
	let folder: string;
	let worker: Worker;
	let daemon: Daemon;
	let origin: string;

	beforeAll(async () => {
		folder = mkdtempSync(join(tmpdir(), "haproxy-tls-"));
		worker = await Worker.listen("127.0.0.1", 0);
		const plain = await settingsFor(addressesOf([worker]), { client: { kind: "connection" } });
		const tls = { address: "127.0.0.1", port: await freePort(), tls: { certificate: certificateIn(folder) }, mount: null };
		daemon = await Daemon.start({ ...plain, sticky: { ...plain.sticky, secure: true }, binds: [tls] }, 1);
		origin = `https://127.0.0.1:${tls.port}`;
	});
	afterAll(async () => {
		await Promise.all([daemon?.stop(), worker?.close()]);
		rmSync(folder, { recursive: true, force: true });
	});

	it("tells the worker of it and keeps the cookie to it, over HTTP/2", async () => {
		const session = connect(origin, { rejectUnauthorized: false });
		const stream = session.request({ ":path": "/who", "x-forwarded-proto": "http" });
		const [headers, body] = await Promise.all([
			new Promise<Record<string, unknown>>((resolve) => stream.on("response", resolve)),
			new Promise<string>((resolve) => {
				let text = "";
				stream.on("data", (data) => (text += data)).on("end", () => resolve(text));
			}),
		]);
		session.close();
		expect((JSON.parse(body) as Seen).headers["x-forwarded-proto"]).toBe("https");
		const cookie = stickyCookie(daemon.settings.sticky.key, worker.host, worker.port);
		expect(headers["set-cookie"]).toEqual([`agentic_worker=${cookie}; path=/; HttpOnly; Secure`]);
	});

	it("carries WebSockets", async () => {
		const headers = {
			Connection: "Upgrade",
			Upgrade: "websocket",
			"Sec-WebSocket-Version": "13",
			"Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
		};
		const name = await new Promise((resolve, reject) => {
			const outgoing = request(`${origin}/sync`, { headers, rejectUnauthorized: false, agent: false });
			outgoing.on("error", reject).on("upgrade", (incoming, socket) => {
				socket.destroy();
				resolve(incoming.headers["x-worker"]);
			});
			outgoing.end();
		});
		expect(name).toBe(worker.name);
	});
});
