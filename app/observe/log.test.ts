import { context, trace } from "@opentelemetry/api";
import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createLog } from "./log.ts";

function logged(work: (log: ReturnType<typeof createLog>["log"]) => void): Record<string, unknown>[] {
	const lines: string[] = [];
	work(createLog({ level: "info" }, "worker", "1.2.3", { write: (line) => void lines.push(line) }).log);
	return lines.map((line) => JSON.parse(line));
}

describe("a line of the log", () => {
	beforeAll(() => new NodeTracerProvider().register());
	afterAll(() => context.disable());

	it("is in the Elastic Common Schema", () => {
		const [line] = logged((log) => log.warn({ err: new TypeError("no such thing") }, "it failed"));
		expect(line).toMatchObject({
			message: "it failed",
			"log.level": "warn",
			"log.logger": "worker",
			"service.name": "agentic-flow",
			"service.version": "1.2.3",
			"process.pid": process.pid,
			error: { type: "TypeError", message: "no such thing", stack_trace: expect.stringContaining("log.test.ts") },
		});
		expect(line?.["@timestamp"]).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
		expect(line?.["ecs.version"]).toBeTypeOf("string");
	});

	it("names the trace it belongs to", () => {
		const spanContext = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", traceFlags: 1 };
		const [inside, outside] = logged((log) => {
			context.with(trace.setSpanContext(context.active(), spanContext), () => log.info("inside"));
			log.info("outside");
		});
		expect(inside).toMatchObject({ "trace.id": spanContext.traceId, "span.id": spanContext.spanId });
		expect(outside).not.toHaveProperty("trace.id");
	});

	it("holds no secret, in a field or in text", () => {
		const lines = logged((log) => {
			log.info({ headers: { authorization: "Bearer abc.def", cookie: "agentic_session=xyz" } }, "fields");
			log.info(
				{ err: new Error("postgres://app:hunter2@db:5432/x refused Bearer eyJhbGciOi.abc") },
				`text af_${"0a".repeat(10)}_${"c2VjcmV0".repeat(5)}abc`,
			);
		});
		const text = JSON.stringify(lines);
		for (const secret of ["abc.def", "xyz", "hunter2", "eyJhbGciOi", "c2VjcmV0"]) expect(text).not.toContain(secret);
		expect(lines[1]).toMatchObject({
			message: "text [redacted]",
			error: { message: "postgres://app:[redacted]@db:5432/x refused Bearer [redacted]" },
		});
	});
});
