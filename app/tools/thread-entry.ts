/** What a thread begins with: it calls the function that it was given, and says what that answered. */
import { parentPort, workerData } from "node:worker_threads";
import type { ThreadWork } from "./thread.ts";

const { module, name, argument } = workerData as ThreadWork;
const { [name]: work } = (await import(module)) as Record<string, (argument: unknown) => unknown>;
if (work === undefined) throw new Error(`${module} exports no ${name}`);
parentPort?.postMessage(await work(argument));
