import { z } from "zod";
import type { Principal } from "../../model.ts";
import type { IdentityService } from "../../ports.ts";
import type { Edge } from "../edge.ts";
import { type Endpoint, endpoint } from "../endpoint.ts";
import { envelope } from "../schemas.ts";
import type { SessionCookies } from "../session-cookie.ts";
import { now } from "../views.ts";

const credential = z.string().min(1).max(1_024);

const Login = z
	.union(
		[z.object({ token: credential }), z.object({ code: credential.meta({ description: "Of a login link: good once, for ten minutes." }) })],
		"either a token or the code of a login link is needed",
	)
	.meta({ id: "Login" });

const SessionView = z
	.object({
		...envelope,
		principal: z.object({
			id: z.string(),
			roles: z.array(z.enum(["member", "operator"])),
			workspace: z.string(),
			expiresAt: z.int().nullable().meta({ description: "Milliseconds since 1970; null for never." }),
		}),
	})
	.meta({ id: "Session" });

/** A browser exchanges a token, or a code that stands for one, for a cookie that its scripts cannot read. */
export function sessionEndpoints(identity: IdentityService, cookies: SessionCookies, edge: Edge): Endpoint[] {
	return [
		endpoint({
			method: "POST",
			path: "/api/session",
			kind: "session",
			tag: "session",
			summary: "Logs a browser in, by a token or the code of a login link: the answer sets its session cookie. A session it had is over.",
			body: Login,
			answer: SessionView,
			handle: async ({ body, request, reply }) => {
				const login = "token" in body ? identity.login(body.token) : identity.loginWithCode(body.code);
				const { sessionId, principal, maxAgeSeconds } = await login;
				const before = cookies.sessionOf(request.raw);
				if (before !== null) await identity.logout(before);
				reply.header("set-cookie", cookies.issue(sessionId, maxAgeSeconds, edge.isSecure(request)));
				return sessionView(principal);
			},
		}),
		endpoint({
			method: "GET",
			path: "/api/session",
			kind: "read",
			tag: "principal",
			summary: "Who is asking.",
			answer: SessionView,
			handle: ({ principal }) => sessionView(principal),
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

function sessionView({ id, roles, workspace, expiresAt }: Principal): z.input<typeof SessionView> {
	return { success: true, principal: { id, roles: [...roles], workspace, expiresAt }, timestamp: now() };
}
