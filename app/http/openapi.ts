import { z } from "zod";
import type { Endpoint } from "./endpoint.ts";
import { FailureSchema } from "./schemas.ts";

type Json = Record<string, unknown>;

/** The JSON Schema of an answer, complete in itself, for whoever writes the answers. */
export function answerSchema(schema: z.ZodType): object {
	const { $schema: _, ...rest } = z.toJSONSchema(schema, {
		io: "output",
		target: "draft-7",
		override: ({ jsonSchema }) => joinNull(jsonSchema),
	});
	return rest;
}

/** `string or null` as one type: a serializer that has to try one after the other is several times as slow. */
function joinNull(schema: { anyOf?: unknown; type?: unknown }): void {
	const [first, second, ...more] = Array.isArray(schema.anyOf) ? (schema.anyOf as { type?: unknown; enum?: unknown }[]) : [];
	if (typeof first?.type !== "string" || first.enum !== undefined || second?.type !== "null" || more.length > 0) return;
	delete schema.anyOf;
	Object.assign(schema, first, { type: [first.type, "null"] });
}

/**
 * The OpenAPI document, made of the very schemas by which requests are checked and answers written.
 * https://spec.openapis.org/oas/v3.1.0
 */
export function openApiDocument(endpoints: readonly Endpoint[], version: string): object {
	const components: Json = {};
	const reference = (schema: z.ZodType, io: "input" | "output") => hoist(z.toJSONSchema(schema, { io }), components);
	const paths: Record<string, Json> = {};
	for (const endpoint of endpoints) {
		const path = templateOf(endpoint.path);
		paths[path] = { ...paths[path], [endpoint.method.toLowerCase()]: operation(endpoint, reference) };
	}
	return {
		openapi: "3.1.0",
		info: {
			title: "Agentic Flow",
			version,
			description:
				"Every failed request is answered with a Failure. Requests are made by whoever holds a bearer token, or by a browser's session; what belongs to another workspace does not exist.",
		},
		servers: [{ url: "/" }],
		security: [{ bearer: [] }, { session: [] }],
		paths,
		components: {
			schemas: components,
			securitySchemes: {
				bearer: { type: "http", scheme: "bearer" },
				session: { type: "apiKey", in: "cookie", name: "af_session" },
			},
		},
	};
}

/** `/api/memory/:namespace/*` as `/api/memory/{namespace}/{key}`. */
export function templateOf(path: string): string {
	return path.replace(/:(\w+)/g, "{$1}").replace("*", "{key}");
}

type Reference = (schema: z.ZodType, io: "input" | "output") => Json;

function operation(endpoint: Endpoint, reference: Reference): Json {
	const open = endpoint.kind === "health" || endpoint.kind === "public" || endpoint.kind === "session";
	const answers = Object.entries({ 200: endpoint.answer, ...endpoint.otherAnswers });
	return {
		operationId: `${endpoint.method.toLowerCase()}${endpoint.path.replace(/[^a-zA-Z]+(.)?/g, (_, next: string | undefined) => (next ?? "").toUpperCase())}`,
		summary: endpoint.summary,
		tags: [endpoint.tag],
		...(open ? { security: [] } : {}),
		parameters: [...parametersIn("path", endpoint.params, reference), ...parametersIn("query", endpoint.query, reference)],
		...(endpoint.body === null ? {} : { requestBody: { content: content(reference(endpoint.body, "input")) } }),
		responses: {
			...Object.fromEntries(answers.map(([status, schema]) => [status, response(Number(status), reference(schema, "output"))])),
			...(endpoint.kind === "list" || endpoint.kind === "public" ? { 304: { description: "As the client has it already" } } : {}),
			default: response(0, reference(FailureSchema, "output")),
		},
	};
}

function parametersIn(place: "path" | "query", schema: z.ZodType | null, reference: Reference): Json[] {
	if (schema === null) return [];
	const { properties = {}, required = [] } = reference(schema, "input") as { properties?: Record<string, Json>; required?: string[] };
	return Object.entries(properties).map(([name, { description, ...each }]) => ({
		name: name === "*" ? "key" : name,
		in: place,
		required: place === "path" || required.includes(name),
		...(description === undefined ? {} : { description }),
		schema: each,
	}));
}

function response(status: number, schema: Json): Json {
	return { description: status === 200 ? "Done" : status === 0 ? "Failed" : "Not as wanted", content: content(schema) };
}

function content(schema: Json): Json {
	return { "application/json": { schema } };
}

/** Moves named schemas to the components, and references with them. */
function hoist(schema: object, components: Json): Json {
	const { $defs, $schema: _, ...rest } = JSON.parse(JSON.stringify(schema).replaceAll("#/$defs/", "#/components/schemas/")) as Json;
	Object.assign(components, $defs);
	return rest;
}
