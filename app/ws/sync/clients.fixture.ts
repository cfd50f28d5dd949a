/** What the tests of /sync begin with: a worker of their own, its clients, and both gone when the test is over. */
import { onTestFinished } from "vitest";
import type { SocketLimits, SocketSettings } from "../settings.ts";
import { type MemoryServices, memoryServices, principalOf } from "../testing.ts";
import { SyncClient } from "../testing-client.ts";
import { startWorker, type TestWorker } from "../testing-worker.ts";

export const ada = principalOf("ada");
export const bob = principalOf("bob", "elsewhere");

export async function worker(
	services: MemoryServices = memoryServices([ada, bob]),
	changes: Partial<Omit<SocketSettings, "limits">> & { readonly limits?: Partial<SocketLimits> } = {},
): Promise<TestWorker & { services: MemoryServices }> {
	const started = await startWorker(services, changes);
	onTestFinished(() => started.stop());
	return { ...started, services };
}

export function client(host: string, options: ConstructorParameters<typeof SyncClient>[1] = { token: "token-ada" }): SyncClient {
	const opened = new SyncClient(host, options);
	onTestFinished(() => opened.close());
	return opened;
}

export function agent(services: MemoryServices, id: string, status: string, action: "created" | "updated" | "deleted" = "updated") {
	return services.publish("default", { entityType: "agent", entityId: id, action, data: { id, status } });
}

/** Longer than a tick, and than what a worker does at once. */
export const quiet = () => new Promise((resolve) => setTimeout(resolve, 120));
