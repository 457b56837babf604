const [url, name] = process.argv.slice(2);
const { EventSource = require(name).EventSourcePolyfill } = require(name);

// Receives messages with an EventSource, which speaks the Dart dialect, until there is an event `end`.
const source = new EventSource(`${url}?sseClientId=a`);
const received = [];
source.onmessage = ({ data }) => {
  const message = JSON.parse(data);
  if (message !== 'end') return received.push(message);
  console.log(JSON.stringify(received));
  process.exit();
};
