/** Logs: one JSON object a line in the Elastic Common Schema, to standard output. */
import { ecsFormat } from "@elastic/ecs-pino-format";
import { trace } from "@opentelemetry/api";
import { type DestinationStream, type Logger, pino } from "pino";
import type { LogConfig } from "../config.ts";
import { Output } from "./output.ts";

export type Log = Logger;

/** Fields that hold secrets wherever they are met, by the names that headers and drivers use for them. */
const SECRET_FIELDS = ["authorization", "cookie", "set-cookie", "password", "token", "secret", "sessionId"];

/** Credentials inside text: of an Authorization header, of a URL, and the server's own tokens. */
const SECRET_TEXT = /\b(Bearer|Basic)\s+[\w.~+/=-]+|(\/\/[^\s/:@"]*):[^\s/@"]+@|\baf_[0-9a-f]{20}_[\w-]{20,}/g;

export interface LogOutput {
	readonly log: Log;
	/** Writes what is still held back; at the end of the process. */
	flush(): void;
}

/**
 * @param role of the process, as `process.title` and `log.logger` have it
 * @param destination for tests; standard output else
 */
export function createLog(config: LogConfig, role: string, version: string, destination?: DestinationStream): LogOutput {
	const output = destination ?? new Output(1);
	const log = pino(
		{
			...ecsFormat({ apmIntegration: false, serviceName: "agentic-flow", serviceVersion: version }),
			name: role,
			level: config.level,
			mixin: traceIds,
			redact: { paths: SECRET_FIELDS.flatMap((field) => [`["${field}"]`, `*["${field}"]`]), censor: "[redacted]" },
			hooks: { streamWrite: withoutSecrets },
		},
		output,
	);
	const flush = () => {
		if (output instanceof Output) output.flush();
	};
	return { log, flush };
}

/** Of the request that is being worked on, where it is traced. */
function traceIds(): object {
	const span = trace.getActiveSpan();
	if (span === undefined) return {};
	const { traceId, spanId } = span.spanContext();
	return { "trace.id": traceId, "span.id": spanId };
}

/** The line with every credential in its text made unreadable. */
export function withoutSecrets(line: string): string {
	return line.replace(SECRET_TEXT, (_, scheme?: string, user?: string) =>
		scheme === undefined ? (user === undefined ? "[redacted]" : `${user}:[redacted]@`) : `${scheme} [redacted]`,
	);
}
