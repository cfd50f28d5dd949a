/** pm2-runtime that stops its workers, and itself, when whoever started it is gone: nothing is left behind. */
process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
require("pm2/bin/pm2-runtime");
