import { createServer } from "node:http";
import fastify, { type FastifyInstance } from "fastify";
import type { Services } from "../ports.ts";
import { AtHand } from "./at-hand.ts";
import { authentication } from "./authenticate.ts";
import { clientErrorHandler } from "./client-errors.ts";
import { Edge } from "./edge.ts";
import type { Endpoint, EndpointKind } from "./endpoint.ts";
import { HttpError } from "./errors.ts";
import { parseBody } from "./json.ts";
import { answerSchema } from "./openapi.ts";
import { allowedOrigins } from "./origins.ts";
import { aliasEndpoints } from "./routes/aliases.ts";
import { documentEndpoints } from "./routes/documents.ts";
import { healthEndpoints } from "./routes/health.ts";
import { hiveEndpoints } from "./routes/hive.ts";
import { jobEndpoints } from "./routes/jobs.ts";
import { mastraEndpoints } from "./routes/mastra.ts";
import { mcpEndpoints } from "./routes/mcp.ts";
import { memoryEndpoints } from "./routes/memory.ts";
import { pageEndpoints } from "./routes/page.ts";
import { publishedEndpoints } from "./routes/published.ts";
import { sessionEndpoints } from "./routes/session.ts";
import { streamableEndpoints } from "./routes/streamable.ts";
import { syncEndpoints } from "./routes/sync.ts";
import { systemEndpoints } from "./routes/system.ts";
import { taskEndpoints } from "./routes/tasks.ts";
import { handlerOf } from "./serve.ts";
import { sessionCookies } from "./session-cookie.ts";
import type { HttpObserver, HttpSettings } from "./settings.ts";
import { WaitingRoom } from "./waiting.ts";

/** How often connections are looked at that take too long, milliseconds. Node's own is 30 s, and time-outs are as late. */
const CHECK_TIMEOUTS_MS = 1_000;

/** Longer than any schema allows, so that what is too long is told so in the words of the schema. */
const LONGEST_PARAMETER = 4_096;

/**
 * The HTTP side of a worker: routes, and what guards them. It listens to nothing; sockets are attached to `.server`.
 * What is under way when it is closed is finished, and so is what comes meanwhile on connections that are open.
 */
export function buildApp(services: Services, settings: HttpSettings, observe: HttpObserver): FastifyInstance {
	const cookies = sessionCookies(settings.sessionKeys);
	const byCredential = authentication(services.identity, cookies, settings.legacyOpen);
	const edge = new Edge({
		settings,
		observe,
		origins: allowedOrigins(settings),
		cookies,
		authentication: byCredential,
		limits: services.limits,
	});
	const waiting = new WaitingRoom(services.identity, settings.stopping);
	const endpoints = endpointsOf(services, settings, cookies, waiting, edge);
	const atHand = new AtHand(endpoints, { cache: services.cache, authentication: byCredential, edge, observe });
	const app = fastify({
		logger: false,
		bodyLimit: settings.bodyLimitBytes,
		return503OnClosing: false,
		routerOptions: { ignoreTrailingSlash: true, maxParamLength: LONGEST_PARAMETER },
		serverFactory: (wholeWay) =>
			createServer(
				{
					requestTimeout: settings.requestTimeoutMs,
					keepAliveTimeout: settings.keepAliveTimeoutMs,
					headersTimeout: settings.headersTimeoutMs,
					maxHeaderSize: settings.maxHeaderBytes,
					connectionsCheckingInterval: CHECK_TIMEOUTS_MS,
				},
				atHand.listener(wholeWay),
			),
		clientErrorHandler,
		frameworkErrors: (error, request, reply) => edge.unroutable(error, request, reply),
	});
	app.decorateRequest("principal", null);
	app.decorateRequest("startedAt", 0);
	app.removeAllContentTypeParsers();
	app.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, body, done) => {
		try {
			if (request.raw.headers["content-encoding"] !== undefined) throw new HttpError(415, "The request body must not be compressed");
			done(null, parseBody(body as Buffer));
		} catch (error) {
			done(error as Error);
		}
	});
	app.setNotFoundHandler((request, reply) => edge.unmatched(request, reply));
	app.addHook("onClose", async () => waiting.close());
	for (const endpoint of endpoints) serve(app, endpoint, services, edge);
	return app;
}

/** Every operation there is, in the order of the documentation, and the page, which is no part of the API. */
function endpointsOf(
	services: Services,
	settings: HttpSettings,
	cookies: ReturnType<typeof sessionCookies>,
	waiting: WaitingRoom,
	edge: Edge,
): Endpoint[] {
	const documented = [
		...hiveEndpoints(services),
		...taskEndpoints(services),
		...memoryEndpoints(services),
		...publishedEndpoints(services),
		...mcpEndpoints(services, waiting),
		...jobEndpoints(services, waiting),
		...streamableEndpoints({
			services,
			origins: allowedOrigins(settings),
			waiting,
			fault: (error, request) => edge.fault(error, request, null),
		}),
		...systemEndpoints(services, settings),
		...aliasEndpoints(services),
		...mastraEndpoints(),
		...syncEndpoints(services),
		...sessionEndpoints(services.identity, cookies, edge),
		...healthEndpoints(services, settings),
	];
	return [...documented, ...documentEndpoints(documented, settings.version), ...pageEndpoints()];
}

/** Their answers are ready as bytes. */
const sentAsBytes: ReadonlySet<EndpointKind> = new Set(["list", "public", "page"]);

function serve(app: FastifyInstance, endpoint: Endpoint, services: Services, edge: Edge): void {
	app.route({
		method: endpoint.method,
		url: endpoint.path,
		schema: sentAsBytes.has(endpoint.kind) ? {} : { response: { 200: answerSchema(endpoint.answer) } },
		onRequest: edge.enter(endpoint),
		onResponse: edge.leave(endpoint),
		errorHandler: edge.fail(endpoint),
		handler: handlerOf(endpoint, services.cache, edge),
	});
}
