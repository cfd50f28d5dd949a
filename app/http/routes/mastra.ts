import { z } from "zod";
import { ServiceError } from "../../ports.ts";
import { type Endpoint, endpoint } from "../endpoint.ts";
import { envelope, FailureSchema, Id } from "../schemas.ts";
import { now } from "../views.ts";

const Input = z.object({ input: z.unknown().optional() }).meta({ id: "MastraInput" });

/** Mastra is not connected. Its lists are empty and say so; what would run there is refused. */
export function mastraEndpoints(): Endpoint[] {
	return [
		...(["agents", "workflows", "tools"] as const).map((things) =>
			endpoint({
				method: "GET",
				path: `/api/mastra/${things}`,
				kind: "read",
				tag: "mastra",
				summary: `Mastra's ${things}: none, as it is not connected.`,
				answer: z.object({ ...envelope, [things]: z.array(z.never()), count: z.literal(0), connected: z.literal(false) }),
				handle: () => ({ success: true as const, [things]: [], count: 0 as const, connected: false as const, timestamp: now() }),
			}),
		),
		...(["agents/:id/run", "workflows/:id/run", "tools/:name/execute"] as const).map((path) =>
			endpoint({
				method: "POST",
				path: `/api/mastra/${path}`,
				kind: "read",
				tag: "mastra",
				summary: "Says 501: Mastra is not connected.",
				params: path.includes(":id") ? z.object({ id: Id }) : z.object({ name: Id }),
				body: Input,
				answer: z.never(),
				otherAnswers: { 501: FailureSchema },
				handle: (): never => {
					throw new ServiceError("NOT_IMPLEMENTED", "Mastra is not connected");
				},
			}),
		),
	];
}
