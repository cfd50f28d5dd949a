import { z } from "zod";
import { PROJECT, schema, sections } from "./config.ts";

/** The JSON Schema of a `Pulumi.<stack>.yaml`, for editors: made from the one schema of the settings. */
export function stackFileSchema(): object {
	const { properties = {}, required = [], $defs } = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
	const inNamespace = (key: string) => `${PROJECT}:${key}`;
	return {
		$schema: "https://json-schema.org/draft/2020-12/schema",
		title: "A stack of Agentic Flow",
		type: "object",
		properties: {
			config: {
				type: "object",
				properties: Object.fromEntries(Object.keys(sections).map((key) => [inNamespace(key), properties[key]])),
				required: required.map(inNamespace),
				// Other namespaces belong to Pulumi and its providers.
				patternProperties: { "^(pulumi|aws|kubernetes|random):": {} },
				additionalProperties: false,
			},
			secretsprovider: { type: "string" },
			encryptionsalt: { type: "string" },
			encryptedkey: { type: "string" },
			environment: { type: "array" },
		},
		required: ["config"],
		additionalProperties: false,
		...($defs ? { $defs } : {}),
	};
}
