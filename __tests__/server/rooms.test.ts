import { Rooms } from '../../lib/server/rooms';
import { openChannel, openDuplex, record } from '../helpers/channel';
import type { Connection } from '../helpers/channel';
import { waitFor } from '../helpers/wait-for';

describe('Rooms', () => {
  const anna = { name: 'anna' };
  const ben = { name: 'ben' };

  it('have the members that joined, each once, in the order in which they joined', () => {
    const rooms = new Rooms<object>();
    rooms.join(ben, 'board');
    rooms.join(anna, 'board');
    rooms.join(ben, 'board');
    rooms.join(anna, 'chat');
    expect([...rooms.membersOf('board')]).toEqual([ben, anna]);
    expect(rooms.namesOf(anna)).toEqual(['board', 'chat']);
    expect(rooms.namesOf(ben)).toEqual(['board']);
  });

  it('lose the members that leave, and end without members', () => {
    const rooms = new Rooms<object>();
    rooms.join(anna, 'board');
    rooms.join(ben, 'board');
    rooms.leave(anna, 'board');
    rooms.leave(anna, 'board');
    rooms.leave(anna, 'unknown');
    expect([...rooms.membersOf('board')]).toEqual([ben]);
    expect(rooms.namesOf(anna)).toEqual([]);
    expect(rooms.size).toBe(1);
    rooms.leave(ben, 'board');
    expect([...rooms.membersOf('board')]).toEqual([]);
    expect(rooms.size).toBe(0);
  });

  it('lose a member that leaves all of them, but keep the names of its rooms', () => {
    const rooms = new Rooms<object>();
    rooms.join(anna, 'board');
    rooms.join(anna, 'chat');
    rooms.leaveAll(anna);
    expect(rooms.size).toBe(0);
    expect(rooms.namesOf(anna)).toEqual(['board', 'chat']);
    rooms.leaveAll(ben);
  });
});

describe('A connection', () => {
  async function openClients(count: number) {
    const channel = await openChannel();
    const clients = [];
    for (let i = 0; i < count; i++) clients.push(await openDuplex(channel.url, `client${i}`));
    return {
      ...channel,
      clients,
      connections: channel.connections as [Connection, Connection, Connection],
    };
  }

  it('receives what is sent to its rooms, in the order of all messages', async () => {
    const { sse, clients, connections } = await openClients(3);
    const [first, second, third] = connections;
    first.join('board');
    second.join('board');
    second.join('chat');
    sse.to('board').send('to the board');
    sse.broadcast('to all');
    sse.to('chat').send('to the chat');
    third.send('to one');
    sse.to('board').send('again');
    sse.to('nobody').send('lost');
    sse.broadcast('end');
    const received = async (index: number, count: number) => {
      const messages = [];
      for (let i = 0; i < count; i++) messages.push(await clients[index]!.stream.takeData());
      return messages;
    };
    expect(await received(0, 4)).toEqual(['to the board', 'to all', 'again', 'end']);
    expect(await received(1, 5)).toEqual(['to the board', 'to all', 'to the chat', 'again', 'end']);
    expect(await received(2, 3)).toEqual(['to all', 'to one', 'end']);
  });

  it('that is excepted does not receive a message of its room', async () => {
    const { sse, clients, connections } = await openClients(2);
    const [first, second] = connections;
    for (const connection of [first, second]) connection.join('board');
    first.on('message', (message) => sse.to('board').send(message, { except: first }));
    await clients[0]!.post({ messages: ['from the first'] });
    sse.to('board').send('to both');
    expect(await clients[0]!.stream.takeData()).toBe('to both');
    expect(await clients[1]!.stream.takeData()).toBe('from the first');
  });

  it('stays in its rooms while its stream is lost, and receives their messages when it is back', async () => {
    const { sse, clients, connections } = await openClients(1);
    const [connection] = connections;
    connection.join('board');
    clients[0]!.stream.cut();
    await waitFor(() => !connection.connected);
    sse.to('board').send('missed');
    const stream = await clients[0]!.resume(0);
    await stream.take(); // hello
    expect(await stream.takeData()).toBe('missed');
  });

  it('leaves a room, and keeps the names of its rooms when it closes', async () => {
    const { sse, clients, connections } = await openClients(1);
    const [connection] = connections;
    connection.join('board');
    connection.join('chat');
    connection.leave('board');
    expect(connection.rooms).toEqual(['chat']);
    const rooms: string[][] = [];
    const closes = record(connection, 'close');
    connection.on('close', () => rooms.push(connection.rooms));
    await clients[0]!.post({ close: { code: 1000, reason: '' } });
    expect(closes).toMatchObject([[1000, '', { unacknowledged: [] }]]);
    expect(() => sse.to('chat').send('too late')).not.toThrow();
    expect(rooms).toEqual([['chat']]);
    connection.join('board');
    expect(connection.rooms).toEqual(['chat']);
  });

  it('is closed with the other members of a room, after what was sent before', async () => {
    const { sse, clients, connections } = await openClients(3);
    const [first, second, third] = connections;
    for (const connection of [first, second]) connection.join('user:anna');
    second.send('before');
    sse.to('user:anna').close(4001, 'signed out', { except: first });
    expect(connections.map(({ readyState }) => readyState)).toEqual([1, 2, 1]);
    expect(await clients[1]!.stream.takeData()).toBe('before');
    expect(await clients[1]!.stream.take()).toMatchObject({
      event: 'close',
      data: JSON.stringify({ code: 4001, reason: 'signed out' }),
    });
    sse.to('user:anna').close();
    expect(await clients[0]!.stream.take()).toMatchObject({
      data: JSON.stringify({ code: 1000, reason: '' }),
    });
    expect(third.readyState).toBe(1);
  });

  it('is closed by its session id', async () => {
    const { sse, clients, connections } = await openClients(2);
    sse.session('nobody').close();
    sse.session('client1').close(4002, 'replaced');
    expect(connections.map(({ readyState }) => readyState)).toEqual([1, 2]);
    expect(await clients[1]!.stream.take()).toMatchObject({
      data: JSON.stringify({ code: 4002, reason: 'replaced' }),
    });
  });

  it('stays open if the code or the reason of the close is invalid', async () => {
    const { sse, connections } = await openClients(1);
    connections[0].join('board');
    expect(() => sse.to('board').close(1006)).toThrow(RangeError);
    expect(() => sse.session('client0').close(1000, 'x'.repeat(124))).toThrow(RangeError);
    expect(connections[0].readyState).toBe(1);
  });

  it('does not join a room while it closes', async () => {
    const { connections } = await openClients(1);
    const [connection] = connections;
    connection.close();
    connection.join('board');
    expect(connection.rooms).toEqual([]);
  });

  it('that exceeds maxBufferedAmount by a message to a room is closed with code 1008', async () => {
    const { url, sse, connections } = await openChannel({ maxBufferedAmount: 100 });
    await openDuplex(url);
    connections[0]!.join('board');
    const closes = record(connections[0]!, 'close');
    sse.to('board').send('x'.repeat(100));
    expect(closes).toMatchObject([[1008, expect.stringContaining('maxBufferedAmount'), {}]]);
  });

  it('has the principal that authorize returned', async () => {
    const authorize = ({ headers }: { headers: { cookie?: string } }) => headers.cookie ?? true;
    const { url, connections } = await openChannel({ authorize });
    await openDuplex(url, 'a', { Cookie: 'anna' });
    await openDuplex(url, 'b');
    expect(connections.map(({ principal }) => principal)).toEqual(['anna', undefined]);
  });

  it.each([
    ['', 'the empty string'],
    [undefined, 'undefined'],
    [1, 'number'],
  ])('accepts no room with the name %j', async (room, given) => {
    const { sse, connections } = await openClients(1);
    const problem = `the name of a room must be a string with at least one character, not ${given}`;
    const [connection] = connections;
    expect(() => connection.join(room as string)).toThrow(new TypeError(problem));
    expect(() => connection.leave(room as string)).toThrow(new TypeError(problem));
    expect(() => sse.to(room as string)).toThrow(new TypeError(problem));
  });

  it('receives nothing if a message to a room has no JSON form', async () => {
    const { sse, connections } = await openClients(1);
    connections[0].join('board');
    expect(() => sse.to('board').send(undefined)).toThrow(TypeError);
    expect(connections[0].bufferedAmount).toBe(0);
  });
});
