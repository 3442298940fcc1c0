// Node ends when its standard input does, which is when the tests end, even if they were killed.
process.stdin.on("end", () => process.exit()).resume();
