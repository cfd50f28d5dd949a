import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { publishedKey } from "../../app/ports.ts";
import { changer } from "../../app/services/changes.ts";
import { memoryService } from "../../app/services/memory.ts";
import { ReadCounts } from "../../app/services/read-counts.ts";
import { missing } from "./daemons.ts";
import { type Rig, startRig } from "./stores-rig.ts";

const alice = { id: "alice", roles: ["member"], workspace: "team", expiresAt: null, credentialId: "c" } as const;
const entry = { system: "swarm", namespace: "published", key: "a:b/c" } as const;

describe.skipIf(missing)(`what is published${missing ? `: ${missing}` : ""}`, () => {
	let rig: Rig;

	beforeAll(async () => {
		rig = await startRig();
	});

	afterAll(() => rig?.stop());

	it("is as it is after every change, whatever a replica knows, and each change is told before it is answered", async () => {
		const { database } = rig.worker();
		const outdated: string[] = [];
		const reads = new ReadCounts(database, () => {});
		const memory = memoryService(
			database,
			changer(database, { publish: () => {} }),
			async (workspace, key) => void outdated.push(publishedKey(workspace, key)),
			reads,
		);
		const [replica] = rig.postgres.replicas;
		expect(await memory.published("team", entry.key)).toBeNull();
		await replica?.pauseReplay();
		try {
			await memory.store(alice, { ...entry, value: "1" });
			expect(outdated).toEqual(["@published:team:@:a%3Ab%2Fc"]);
			expect(await memory.published("team", entry.key)).toMatchObject({ value: "1" });
			expect(await memory.published("other", entry.key)).toBeNull();
			await memory.remove(alice, entry.system, entry.namespace, entry.key);
			expect(outdated).toHaveLength(2);
			expect(await memory.published("team", entry.key)).toBeNull();
		} finally {
			await replica?.resumeReplay();
		}
		for (const other of [{ namespace: "default" }, { system: "hivemind" }] as const) {
			await memory.store(alice, { ...entry, ...other, value: "1" });
		}
		expect(outdated).toHaveLength(2);
		expect(await memory.published("team", entry.key)).toBeNull();
		await reads.close();
	});
});
