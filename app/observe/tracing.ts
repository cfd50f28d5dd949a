/**
 * Traces, by OpenTelemetry over OTLP/HTTP. Nothing is patched behind the program's back: each place that makes a span asks
 * here. Whether a request is traced is decided where it comes in; one that is not costs a comparison at each place.
 */
import type { IncomingMessage } from "node:http";
import {
	type Context,
	context,
	propagation,
	ROOT_CONTEXT,
	type Span,
	SpanKind,
	SpanStatusCode,
	type Tracer,
	trace,
} from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import { Redis } from "ioredis";
import type { TracingConfig } from "../config.ts";
import type { Services } from "../ports.ts";

export interface Tracing {
	/** Begins a request: `next` runs at once, in the context of its span where it has one. */
	begin(request: IncomingMessage, route: string, next: () => void): void;
	/** Decides about a request that has not begun, for good where it is to be traced. */
	isTraced(request: IncomingMessage): boolean;
	answered(request: IncomingMessage, status: number): void;
	/** A statement of PostgreSQL's begins; null where its request is not traced, else what to call at its end. */
	statement(server: string, name: string): ((error: unknown) => void) | null;
	/** The services as sockets call them: what comes over a socket is decided about call by call. */
	forSockets(services: Services): Services;
	/** Sends what is still held back. */
	stop(): Promise<void>;
}

/** Traces a second that clients may ask for by `traceparent`; the rest is not traced. A worker is not to be kept busy with it. */
const ASKED_PER_SECOND = 50;

/** Bounds of what waits to be sent: without a receiver the rest is dropped. */
const batches = { maxQueueSize: 2_048, maxExportBatchSize: 256, scheduledDelayMillis: 2_000, exportTimeoutMillis: 5_000 };

/** @param workerId of this process among its service's */
export function startTracing(config: TracingConfig, version: string, workerId: string): Tracing {
	const exporter = new OTLPTraceExporter({ url: `${config.endpoint}/v1/traces`, timeoutMillis: batches.exportTimeoutMillis });
	const provider = new NodeTracerProvider({
		resource: resourceFromAttributes({
			"service.name": config.serviceName,
			"service.version": version,
			"service.instance.id": workerId,
		}),
		spanProcessors: [new BatchSpanProcessor(exporter, batches)],
	});
	provider.register();
	const tracer = provider.getTracer("agentic-flow", version);
	const decide = decider(config.ratio);
	const unpatch = traceRedis(tracer);
	const spans = new WeakMap<IncomingMessage, Span>();
	const decided = new WeakMap<IncomingMessage, Context>();

	return {
		begin(request, route, next) {
			const parent = decided.get(request) ?? decide(request.headers.traceparent, request.headers);
			if (parent === null) return next();
			const method = request.method ?? "GET";
			const span = tracer.startSpan(
				`${method} ${route}`,
				{ kind: SpanKind.SERVER, attributes: { "http.request.method": method, "http.route": route } },
				parent,
			);
			spans.set(request, span);
			context.with(trace.setSpan(parent, span), next);
		},
		isTraced(request) {
			const parent = decide(request.headers.traceparent, request.headers);
			if (parent !== null) decided.set(request, parent);
			return parent !== null;
		},
		answered(request, status) {
			const span = spans.get(request);
			if (span === undefined) return;
			span.setAttribute("http.response.status_code", status);
			if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
			span.end();
		},
		statement(server, name) {
			if (trace.getActiveSpan() === undefined) return null;
			const span = tracer.startSpan(name, {
				kind: SpanKind.CLIENT,
				attributes: { "db.system.name": "postgresql", "db.query.summary": name, "agentic_flow.server": server },
			});
			return (error) => end(span, error);
		},
		forSockets: (services) => tracedServices(services, tracer, decide),
		async stop() {
			unpatch();
			// A receiver that does not answer is not waited for.
			await Promise.race([provider.shutdown().catch(() => {}), new Promise((resolve) => setTimeout(resolve, 1_000).unref())]);
		},
	};
}

/** The context to trace in; null where it is not traced. A caller that has decided is followed, up to a limit. */
type Decide = (traceparent: string | string[] | undefined, carrier: object) => Context | null;

const TRACEPARENT = /^00-[0-9a-f]{32}-[0-9a-f]{16}-([0-9a-f]{2})$/;

function decider(ratio: number): Decide {
	let asked = 0;
	let since = 0;
	return (traceparent, carrier) => {
		const flags = typeof traceparent === "string" ? TRACEPARENT.exec(traceparent)?.[1] : undefined;
		if (flags === undefined) return Math.random() < ratio ? ROOT_CONTEXT : null;
		if ((Number.parseInt(flags, 16) & 1) === 0) return null;
		const now = performance.now();
		if (now - since > 1_000) {
			since = now;
			asked = 0;
		}
		asked += 1;
		return asked > ASKED_PER_SECOND ? null : propagation.extract(ROOT_CONTEXT, carrier);
	};
}

/** Every command of every connection that belongs to something traced. Arguments are nobody's business. */
function traceRedis(tracer: Tracer): () => void {
	const { sendCommand } = Redis.prototype;
	Redis.prototype.sendCommand = function traced(this: Redis, command, ...rest) {
		if (trace.getActiveSpan() === undefined) return sendCommand.call(this, command, ...rest);
		const span = tracer.startSpan(command.name.toUpperCase(), { kind: SpanKind.CLIENT, attributes: { "db.system.name": "redis" } });
		command.promise.then(
			() => end(span, null),
			(error: unknown) => end(span, error),
		);
		return sendCommand.call(this, command, ...rest);
	};
	return () => {
		Redis.prototype.sendCommand = sendCommand;
	};
}

/** The calls that sockets make and that are over when they return. */
const socketCalls = {
	swarm: ["current", "initialise", "snapshot"],
	agents: ["list", "spawn", "report", "remove"],
	tasks: ["list", "get", "create", "claim", "progress", "complete", "fail", "cancel"],
	activities: ["list"],
	memory: ["store", "get", "search", "list", "remove"],
	events: ["since", "head"],
	identity: ["fromToken", "fromSession"],
} as const satisfies { readonly [S in keyof Services]?: readonly (keyof Services[S])[] };

function tracedServices(services: Services, tracer: Tracer, decide: Decide): Services {
	const traced = Object.entries(socketCalls).map(([name, calls]) => {
		const service = services[name as keyof Services];
		return [name, replacing(service, calls, (method, call) => tracedCall(tracer, decide, `socket ${name}.${method}`, call))];
	});
	return { ...services, ...Object.fromEntries(traced) };
}

type Call = (...values: unknown[]) => Promise<unknown>;

/** An object with some of its methods replaced; the others are its own. */
function replacing(original: object, methods: readonly string[], replacement: (method: string, call: Call) => Call): object {
	const own = (method: string | symbol) => {
		const value: unknown = Reflect.get(original, method);
		return typeof value === "function" ? (value.bind(original) as Call) : value;
	};
	const replaced = new Map<string | symbol, Call>(methods.map((method) => [method, replacement(method, own(method) as Call)]));
	return new Proxy(original, { get: (_, method) => replaced.get(method) ?? own(method) });
}

function tracedCall(tracer: Tracer, decide: Decide, name: string, call: Call): Call {
	return async (...values) => {
		const parent = decide(undefined, {});
		if (parent === null) return await call(...values);
		const span = tracer.startSpan(name, { kind: SpanKind.SERVER }, parent);
		try {
			const result = await context.with(trace.setSpan(parent, span), () => call(...values));
			end(span, null);
			return result;
		} catch (error) {
			end(span, error);
			throw error;
		}
	};
}

/** The error's kind alone: its message may hold what a user typed. */
function end(span: Span, error: unknown): void {
	if (error !== null && error !== undefined) {
		span.setAttribute("error.type", error instanceof Error ? error.name : "error");
		span.setStatus({ code: SpanStatusCode.ERROR });
	}
	span.end();
}
