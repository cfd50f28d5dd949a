import { z } from "zod";
import type { IdentityService } from "../../ports.ts";
import type { Edge } from "../edge.ts";
import { type Endpoint, endpoint } from "../endpoint.ts";
import { envelope } from "../schemas.ts";
import type { SessionCookies } from "../session-cookie.ts";
import { now } from "../views.ts";

const Login = z.object({ token: z.string().min(1).max(1_024) }).meta({ id: "Login" });

/** A browser exchanges a token for a cookie that its scripts cannot read. */
export function sessionEndpoints(identity: IdentityService, cookies: SessionCookies, edge: Edge): Endpoint[] {
	return [
		endpoint({
			method: "POST",
			path: "/api/session",
			kind: "session",
			tag: "session",
			summary: "Logs a browser in: the answer sets its session cookie. A session it had is over.",
			body: Login,
			answer: z.object({
				...envelope,
				principal: z.object({
					id: z.string(),
					roles: z.array(z.enum(["member", "operator"])),
					workspace: z.string(),
					expiresAt: z.int().nullable(),
				}),
			}),
			handle: async ({ body, request, reply }) => {
				const { sessionId, principal, maxAgeSeconds } = await identity.login(body.token);
				const before = cookies.sessionOf(request.raw);
				if (before !== null) await identity.logout(before);
				reply.header("set-cookie", cookies.issue(sessionId, maxAgeSeconds, edge.isSecure(request)));
				const { id, roles, workspace, expiresAt } = principal;
				return { success: true as const, principal: { id, roles: [...roles], workspace, expiresAt }, timestamp: now() };
			},
		}),
		endpoint({
			method: "DELETE",
			path: "/api/session",
			kind: "session",
			tag: "session",
			summary: "Logs a browser out. Without a session there is nothing to do, and that is no error.",
			answer: z.object(envelope),
			handle: async ({ request, reply }) => {
				const sessionId = cookies.sessionOf(request.raw);
				if (sessionId !== null) await identity.logout(sessionId);
				reply.header("set-cookie", cookies.expire(edge.isSecure(request)));
				return { success: true as const, timestamp: now() };
			},
		}),
	];
}
