import { once } from "node:events";
import { createServer } from "node:http";
import { expect, it } from "vitest";
import { createLog } from "../observe/log.ts";
import { serveMetrics } from "./metrics-server.ts";

const { log } = createLog({ level: "silent" }, "test", "1");
const figures = (text: string) => ({ contentType: "text/plain", text: async () => text });
const read = async (port: number, path = "/metrics") => {
	const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: "close" } }).catch(() => null);
	return response && { status: response.status, text: await response.text() };
};

async function freePort(): Promise<number> {
	const server = createServer().listen(0, "127.0.0.1");
	await once(server, "listening");
	const { port } = server.address() as { port: number };
	server.close();
	await once(server, "close");
	return port;
}

it("the port passes to the next worker when the one before lets go of it", async () => {
	const port = await freePort();
	const letGo = serveMetrics(figures("old"), "127.0.0.1", port, log);
	await expect.poll(() => read(port)).toEqual({ status: 200, text: "old" });
	const last = serveMetrics(figures("new"), "127.0.0.1", port, log);
	expect(await read(port)).toEqual({ status: 200, text: "old" });
	letGo();
	await expect.poll(() => read(port), { timeout: 3_000 }).toEqual({ status: 200, text: "new" });
	last();
	await expect.poll(() => read(port)).toBeNull();
});

it("nothing else is to be had there", async () => {
	const port = await freePort();
	const letGo = serveMetrics(figures("x"), "127.0.0.1", port, log);
	await expect.poll(() => read(port, "/")).toEqual({ status: 404, text: "" });
	letGo();
});
