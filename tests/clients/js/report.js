// How a client's script tells the tests what it got: a line of JSON for each thing it tried.

export async function report(attempts) {
  for (const [attempt, attemptIt] of Object.entries(attempts)) {
    let line;
    try {
      line = { attempt, got: (await attemptIt()) ?? null };
    } catch (error) {
      line = { attempt, failed: error.stack };
    }
    console.log(JSON.stringify(line));
  }
}

// What is thrown, told as its class's name and what else the caller picks of it.
export async function thrown(work, pick) {
  try {
    return await work();
  } catch (error) {
    return [error.constructor.name, pick(error)];
  }
}
