import path from "node:path";
import { readMigrateConfig } from "../config.ts";
import { secretFiles } from "../contract.ts";
import { migrate } from "../migrate.ts";
import { createLog } from "../observe/log.ts";

/**
 * The role `migrate`, from start to end.
 *
 * @returns the exit code: 1 where the database is not as this build wants it; another try may do
 * @throws ConfigError with every fault
 */
export async function runMigrate(environment: NodeJS.ProcessEnv): Promise<number> {
	const config = readMigrateConfig(environment);
	const { log, flush } = createLog(config.log, "migrate", config.version);
	try {
		await migrate({
			...config.postgres,
			adminFolder: path.join(config.secretsDir, secretFiles.postgresAdmin),
			retentionMonths: config.retentionMonths,
			timeoutsMs: { connect: 5_000, lock: 5_000 },
			log: (line) => log.info(line),
		});
		log.info("the database is up to date");
		return 0;
	} catch (error) {
		log.fatal({ err: error }, "the migration failed");
		return 1;
	} finally {
		flush();
	}
}
