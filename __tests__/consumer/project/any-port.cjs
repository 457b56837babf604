'use strict';

const { Server } = require('node:net');

/** Every server listens on a free port of the loopback interface, and prints its number. */
const { listen } = Server.prototype;
Server.prototype.listen = function listenAnywhere() {
  return listen.call(this, 0, '127.0.0.1', () => console.log(`port ${this.address().port}`));
};
