import { createRequire } from "node:module";
import { beforeAll, describe, expect, it } from "vitest";
import { buildApp } from "./app.ts";
import { pageFiles } from "./routes/page.ts";
import { type Answer, type Caller, inMemoryServices, recordingObserver, testApp, testSettings } from "./testing.ts";

interface Operation {
	readonly operationId: string;
	readonly summary: string;
	readonly parameters: readonly { readonly name: string; readonly in: string; readonly required: boolean }[];
	readonly requestBody?: { readonly content: Record<string, { readonly schema: object }> };
	readonly responses: Record<string, { readonly content?: Record<string, { readonly schema: object }> }>;
}

interface Document {
	readonly openapi: string;
	readonly paths: Record<string, Record<string, Operation>>;
	readonly components: { readonly schemas: Record<string, object> };
}

const load = createRequire(import.meta.url);
// Comes with Fastify, whose serializers are made with it.
const Ajv2020 = (load("ajv/dist/2020.js") as { default: typeof import("ajv/dist/2020.js").Ajv2020 }).default;

/** A whole life of a swarm: calls that reach every operation, with the answers they got. */
async function everyOperation(alice: Caller): Promise<{ method: string; template: string; answer: Answer }[]> {
	const answers: { method: string; template: string; answer: Answer }[] = [];
	async function call(method: "GET" | "POST" | "DELETE", template: string, body?: object, url = template): Promise<Record<string, never>> {
		const answer = await alice(method, url, body);
		answers.push({ method, template, answer });
		return answer.json();
	}
	await call("GET", "/api/hive/status");
	await call("POST", "/api/hive/init", {});
	await call("POST", "/api/swarm/init", { maxAgents: 8 });
	await call("POST", "/api/hive/init", { name: "n", maxAgents: 8 });
	const { id: agent } = await call("POST", "/api/hive/agents", {});
	const { agentId: spare } = await call("POST", "/api/agents/spawn", { type: "coder" });
	await call(
		"POST",
		"/api/hive/agents/{agentId}/report",
		{ cpu: 1.5, memory: "29MB", performance: 90 },
		`/api/hive/agents/${agent}/report`,
	);
	const tasks: string[] = [];
	for (let each = 0; each < 4; each += 1) tasks.push((await call("POST", "/api/hive/tasks", { description: "d" })).id as unknown as string);
	await call("POST", "/api/tasks/orchestrate", { task: "t" });
	const step = (task: string | undefined, verb: string, body: object = {}) =>
		call("POST", `/api/hive/tasks/{taskId}/${verb}`, body, `/api/hive/tasks/${task}/${verb}`);
	await step(tasks[0], "claim", { agentId: agent });
	await step(tasks[0], "progress", { progress: 12.5 });
	await step(tasks[0], "complete", { result: { a: [null, "x", 1.5] } });
	await step(tasks[1], "claim", { agentId: agent });
	await step(tasks[1], "fail", { error: "e" });
	await step(tasks[2], "cancel");
	await step(tasks[2], "claim", { agentId: agent });
	await call("DELETE", "/api/hive/tasks/{taskId}", undefined, `/api/hive/tasks/${tasks[3]}`);
	await call("GET", "/api/hive/tasks/{taskId}", undefined, `/api/hive/tasks/${tasks[0]}`);
	await call("GET", "/api/hive/tasks/{taskId}", undefined, "/api/hive/tasks/none");
	await call("POST", "/api/memory/store", { key: "k", value: { a: 1 }, metadata: { by: "me" }, ttl: 60 });
	await call("POST", "/api/memory/store", { key: "h", value: "text", system: "hivemind" });
	await call("POST", "/api/memory", { key: "k2", value: "plain" });
	await call("GET", "/api/memory/{namespace}/{key}", undefined, "/api/memory/default/k");
	await call("DELETE", "/api/memory/{namespace}/{key}", undefined, "/api/memory/default/k2");
	await call("GET", "/api/memory/retrieve", undefined, "/api/memory/retrieve?key=k");
	await call("GET", "/api/memory/retrieve", undefined, "/api/memory/retrieve?key=none");
	await call("GET", "/api/memory/retrieve");
	await call("GET", "/api/memory/search", undefined, "/api/memory/search?pattern=k");
	for (const url of ["swarm", "hivemind"]) await call("GET", `/api/memory/${url}`);
	await call("POST", "/api/memory/store", { key: "p", value: [1], namespace: "published" });
	for (const key of ["p", "none"]) await call("GET", "/api/public/{workspace}/{key}", undefined, `/api/public/default/${key}`);
	for (const url of ["status", "agents", "tasks", "activities", "performance"]) await call("GET", `/api/hive/${url}`);
	for (const url of ["state", "agents", "tasks", "performance"]) await call("GET", `/sync/api/${url}`);
	for (const url of ["/api/swarm/status", "/api/agents", "/api/performance/report", "/api/status", "/api/system/metrics", "/api/docs"])
		await call("GET", url);
	for (const url of ["tools", "status"]) await call("GET", `/api/mcp/${url}`);
	for (const url of ["execute", "validate"]) {
		for (const toolName of ["echo", "fail", "t"]) await call("POST", `/api/mcp/${url}`, { toolName, parameters: { text: "x" } });
		await call("POST", `/api/mcp/${url}`, {});
	}
	const submitted = await call("POST", "/api/jobs", { tool: "fail", arguments: {}, priority: "high" });
	const { id: job } = submitted.job as unknown as { id: string };
	await call("POST", "/api/jobs", { tool: "t" });
	await call("GET", "/api/jobs");
	await call("GET", "/api/jobs/{jobId}", undefined, `/api/jobs/${job}`);
	await call("DELETE", "/api/jobs/{jobId}", undefined, `/api/jobs/${job}`);
	await call("POST", "/api/jobs/{jobId}/retry", undefined, `/api/jobs/${job}/retry`);
	await call("GET", "/api/jobs/{jobId}/events", undefined, "/api/jobs/none/events");
	await call("GET", "/api/mcp/stream/{jobId}", undefined, "/api/mcp/stream/none");
	await call("POST", "/mcp", { jsonrpc: "2.0", id: 1, method: "ping" });
	await call("POST", "/mcp", { jsonrpc: "2.0", id: 1, method: "nothing" });
	await call("POST", "/mcp", []);
	await call("GET", "/mcp");
	await call("DELETE", "/mcp");
	await call("POST", "/api/mcp/metrics", { tool: "t", metrics: {} });
	for (const url of ["agents", "workflows", "tools"]) await call("GET", `/api/mastra/${url}`);
	await call("POST", "/api/mastra/agents/{id}/run", {}, "/api/mastra/agents/a/run");
	await call("POST", "/api/mastra/workflows/{id}/run", {}, "/api/mastra/workflows/w/run");
	await call("POST", "/api/mastra/tools/{name}/execute", {}, "/api/mastra/tools/t/execute");
	await call("DELETE", "/api/hive/agents/{agentId}", undefined, `/api/hive/agents/${spare}`);
	await call("POST", "/api/session", { token: alice.token });
	await call("POST", "/api/session", { token: "wrong" });
	await call("POST", "/api/session", { code: "wrong" });
	await call("GET", "/api/session");
	await call("DELETE", "/api/session");
	for (const prefix of ["", "/sync", "/mcp"]) {
		for (const path of ["/health", "/api/health", "/health/live", "/health/ready"]) await call("GET", `${prefix}${path}`);
	}
	await call("GET", "/openapi.json");
	return answers;
}

describe("/openapi.json", () => {
	let document: Document;
	let answers: Awaited<ReturnType<typeof everyOperation>>;

	beforeAll(async () => {
		const { as, services } = testApp();
		const alice = await as("alice");
		document = (await alice("GET", "/openapi.json")).json();
		answers = await everyOperation(alice);
		services.away.add("redis");
		for (const path of ["/health", "/api/health", "/sync/health", "/api/status"]) {
			answers.push({ method: "GET", template: path, answer: await alice("GET", path) });
		}
	});

	it("has every route, and no other", async () => {
		const routes = new Set<string>();
		const services = inMemoryServices();
		const app = buildApp(services, testSettings, recordingObserver());
		// Fastify prints what it serves, whatever was written down elsewhere.
		await app.ready();
		const documented = Object.entries(document.paths).flatMap(([path, methods]) =>
			Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
		);
		for (const operation of documented) {
			const [method, path] = operation.split(" ") as ["GET", string];
			const url = path.replace("{key}", "*").replace(/\{(\w+)\}/g, ":$1");
			expect(app.hasRoute({ method, url }), operation).toBe(true);
			routes.add(operation);
		}
		const served = app.printRoutes({ commonPrefix: false }).match(/\((?:[A-Z]+(?:, )?)+\)/g) ?? [];
		const count = served.flatMap((methods) => methods.slice(1, -1).split(", ")).filter((method) => method !== "HEAD").length;
		// The page is no part of the API.
		expect(count).toBe(routes.size + Object.keys(pageFiles).length);
	});

	it("is what the answers are like, each of them", () => {
		const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
		ajv.addSchema({ $id: "api", ...document });
		const pointer = (text: string) => text.replaceAll("~", "~0").replaceAll("/", "~1").replaceAll("{", "%7B").replaceAll("}", "%7D");
		const reached = new Set<string>();
		for (const { method, template, answer } of answers) {
			const operation = document.paths[template]?.[method.toLowerCase()];
			expect(operation, `${method} ${template}`).toBeDefined();
			const status = operation?.responses[answer.statusCode] === undefined ? "default" : String(answer.statusCode);
			const where = `api#/paths/${pointer(template)}/${method.toLowerCase()}/responses/${status}/content/application~1json/schema`;
			const validate = ajv.getSchema(where);
			expect(validate, where).toBeDefined();
			const valid = validate?.(answer.json());
			expect(valid, `${method} ${template} ${answer.statusCode} ${JSON.stringify(validate?.errors)} ${answer.body.slice(0, 500)}`).toBe(
				true,
			);
			reached.add(`${method} ${template}`);
		}
		const all = Object.entries(document.paths).flatMap(([path, methods]) =>
			Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
		);
		expect([...reached].sort()).toEqual(all.sort());
	});

	it("refuses an answer that is not like that", () => {
		const ajv = new Ajv2020({ strict: false, validateFormats: false });
		ajv.addSchema({ $id: "api", ...document });
		const validate = ajv.getSchema("api#/components/schemas/Agent");
		const agent = answers.find(({ method, template }) => method === "POST" && template === "/api/hive/agents")?.answer.json();
		expect(validate?.(agent)).toBe(true);
		expect(validate?.({ ...agent, cpu: "6" })).toBe(false);
		expect(validate?.({ ...agent, password: "x" })).toBe(false);
	});

	it("names every operation once, with all its path's parameters", () => {
		expect(document.openapi).toBe("3.1.0");
		const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
			Object.values(methods).map((operation) => ({ path, operation })),
		);
		expect(new Set(operations.map(({ operation }) => operation.operationId)).size).toBe(operations.length);
		for (const { path, operation } of operations) {
			const inPath = operation.parameters.filter((parameter) => parameter.in === "path").map(({ name }) => name);
			expect(inPath.sort(), path).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort());
			expect(operation.summary, path).toMatch(/\.$/);
			expect(operation.responses.default).toBeDefined();
		}
	});

	it("refers to nothing that is not in it", () => {
		const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, reference]) => reference as string);
		expect(references.length).toBeGreaterThan(20);
		for (const reference of references) {
			expect(reference).toMatch(/^#\/components\/schemas\//);
			expect(Object.keys(document.components.schemas)).toContain(reference.split("/").at(-1));
		}
	});

	it("documents bodies as they are checked", async () => {
		const ajv = new Ajv2020({ strict: false, validateFormats: false });
		ajv.addSchema({ $id: "api", ...document });
		const validate = ajv.getSchema("api#/components/schemas/CreateTask");
		const alice = await testApp().as("alice");
		for (const body of [
			{},
			{ description: "d", priority: "low" },
			{ priority: "urgent" },
			{ description: 1 },
			{ dependencies: "x" },
			{ description: null },
		]) {
			const accepted = (await alice("POST", "/api/hive/tasks", body)).statusCode === 200;
			expect(validate?.(body), JSON.stringify(body)).toBe(accepted);
		}
	});
});

describe("/api/docs", () => {
	it("lists the same operations", async () => {
		const { anyone } = testApp();
		const { paths } = (await anyone("GET", "/openapi.json")).json() as Document;
		const docs = (await anyone("GET", "/api/docs")).json();
		expect(docs).toMatchObject({ title: "Agentic Flow API", version: "1.2.3" });
		const listed = Object.values(docs.endpoints as Record<string, Record<string, string>>).flatMap((group) => Object.keys(group));
		expect(listed).toHaveLength(Object.values(paths).flatMap((methods) => Object.keys(methods)).length);
	});
});
