/** The whole edge of one worker over real stores, in this process: HTTP by injection, sockets on a port. */
import type { FastifyInstance } from "fastify";
import { buildApp } from "../../app/http/app.ts";
import { recordingObserver, testSettings } from "../../app/http/testing.ts";
import type { SocketLimits } from "../../app/ws/settings.ts";
import { type Rig, startRig } from "./stores-rig.ts";
import { endpoint, issue, type SyncWorker, startSyncWorker } from "./sync-workers.ts";

export interface EdgeRig {
	readonly rig: Rig;
	readonly app: FastifyInstance;
	readonly worker: SyncWorker;
	/** Somebody with every role in a workspace. */
	as(workspace: string): Promise<Someone>;
	stop(): Promise<void>;
}

export interface Someone {
	readonly token: string;
	call(
		method: string,
		url: string,
		body?: object,
		headers?: Readonly<Record<string, string>>,
	): Promise<{ readonly status: number; readonly text: string }>;
}

export async function startEdge(limits: Partial<SocketLimits> = {}): Promise<EdgeRig> {
	const rig = await startRig();
	const worker = await startSyncWorker(rig, endpoint(rig.redis), { limits });
	const app = buildApp(worker.services, testSettings, recordingObserver());
	await app.ready();
	return {
		rig,
		app,
		worker,
		async as(workspace) {
			const { token } = await issue(worker, workspace, "operator");
			return {
				token,
				async call(method, url, body, headers = {}) {
					const answer = await app.inject({
						method: method as "GET",
						url,
						headers: {
							host: "agentic.example.com",
							authorization: `Bearer ${token}`,
							...(body === undefined ? {} : { "content-type": "application/json" }),
							...headers,
						},
						...(body === undefined ? {} : { payload: JSON.stringify(body) }),
					});
					return { status: answer.statusCode, text: answer.body };
				},
			};
		},
		async stop() {
			await app.close();
			await worker.close();
			await rig.stop();
		},
	};
}
