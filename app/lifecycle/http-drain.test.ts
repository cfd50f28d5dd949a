import { once } from "node:events";
import { Agent, createServer, get, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { drainable } from "./http-drain.ts";

const alone = async () => false;

async function listening(answerMs: number) {
	const server = createServer((_, response) => void setTimeout(() => response.end("done"), answerMs));
	const drain = drainable(server);
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	return { drain, port: (server.address() as { port: number }).port };
}

async function ask(port: number, agent: Agent): Promise<IncomingMessage> {
	const [response] = (await once(get({ port, host: "127.0.0.1", agent }), "response")) as [IncomingMessage];
	response.resume();
	await once(response, "end");
	return response;
}

it("a request under way is finished", async () => {
	const { drain, port } = await listening(200);
	const answer = ask(port, new Agent({ keepAlive: true }));
	await sleep(50);
	const drained = drain({ lingerMs: 0, released: alone });
	expect((await answer).statusCode).toBe(200);
	await drained;
});

it("whoever comes anew is answered for a while, every time, and refused afterwards", async () => {
	const { drain, port } = await listening(0);
	const before = performance.now();
	const drained = drain({ lingerMs: 600, released: alone });
	let answered = 0;
	while (performance.now() - before < 300) {
		expect((await ask(port, new Agent())).headers.connection).toBe("close");
		answered += 1;
	}
	expect(answered).toBeGreaterThan(1);
	await drained;
	expect(performance.now() - before).toBeGreaterThan(580);
	const [error] = await once(connect(port, "127.0.0.1"), "error");
	expect(error.code).toBe("ECONNREFUSED");
});

it("nobody new is let in from when another process has the port", async () => {
	const { drain, port } = await listening(0);
	let released = false;
	const drained = drain({ lingerMs: 60_000, released: async () => released });
	await sleep(100);
	expect((await ask(port, new Agent())).statusCode).toBe(200);
	released = true;
	await drained;
	const [error] = await once(connect(port, "127.0.0.1"), "error");
	expect(error.code).toBe("ECONNREFUSED");
});

it("an idle connection may send one more request, and is closed after a while, used or not", async () => {
	const { drain, port } = await listening(0);
	const agents = [1, 2].map(() => new Agent({ keepAlive: true, maxSockets: 1 })) as [Agent, Agent];
	await Promise.all(agents.map((agent) => ask(port, agent)));
	const unused = connect(port, "127.0.0.1");
	await once(unused, "connect");
	const before = performance.now();
	const drained = drain({ lingerMs: 400, released: alone });
	await sleep(100);
	expect((await ask(port, agents[0])).headers.connection).toBe("close");
	await drained;
	expect(performance.now() - before).toBeGreaterThan(350);
});

it("who has connected and was not accepted yet is answered all the same", async () => {
	const { port, drain } = await listening(0);
	const client = connect(port, "127.0.0.1");
	client.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	const drained = drain({ lingerMs: 100, released: alone });
	let heard = "";
	for await (const chunk of client) heard += chunk;
	expect(heard).toMatch(/^HTTP\/1.1 200 /);
	await drained;
});
